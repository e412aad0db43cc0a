//go:build integration

package integration

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const (
	zabbixProgram = "/usr/sbin/zabbix_agentd"
	zabbixUser    = "zabbix"
	zabbixAddress = "127.0.0.1:10050"
)

// startZabbixAgent starts the agent with the items of contrib, and returns when it answers.
func startZabbixAgent(t testing.TB) {
	t.Helper()
	needFiles(t, "zabbix-agent", zabbixProgram)
	config := writeConfig(t, "zabbix_agentd.conf", fmt.Sprintf(`LogType=console
PidFile=%s/zabbix_agentd.pid
Server=127.0.0.1
ListenIP=127.0.0.1
Include=%s/zabbix/*.conf
`, ownedDir(t, zabbixUser), contribDir(t)))
	// As its unit in Debian does.
	startDaemon(t, command{user: zabbixUser}, zabbixProgram, "--config", config, "--foreground")
	waitFor(t, "the agent", func() (bool, any) {
		answer, err := askZabbix("agent.ping")
		return answer == "1", err
	})
}

// zabbixHead begins every message of the protocol of server and agent, before the length: 8 bytes, the least first.
const zabbixHead = "ZBXD\x01"

// askZabbix asks the agent for an item, as the server does.
func askZabbix(item string) (answer string, err error) {
	conn, err := net.Dial("tcp", zabbixAddress)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	question := binary.LittleEndian.AppendUint64([]byte(zabbixHead), uint64(len(item)))
	if _, err := conn.Write(append(question, item...)); err != nil {
		return "", err
	}
	message, err := io.ReadAll(conn)
	if err != nil {
		return "", err
	}
	head := len(zabbixHead) + 8
	if len(message) < head || string(message[:len(zabbixHead)]) != zabbixHead ||
		binary.LittleEndian.Uint64(message[len(zabbixHead):]) != uint64(len(message)-head) {
		return "", fmt.Errorf("no message of Zabbix: %q", message)
	}
	return string(message[head:]), nil
}

// TestZabbix asks the real agent, which runs as its own user, for the items of contrib.
func TestZabbix(t *testing.T) {
	p := startPostfix(t)
	installEmitter(t)
	startZabbixAgent(t)
	verify := func(t *testing.T) {
		queue := p.list()
		got := make(map[string]int64)
		ran := during(func() {
			for _, metric := range metricNames() {
				got[metric] = int64(number(t, zabbixItem(t, metric)))
			}
		})
		checkMetrics(t, got, ran, queue, queueNames)
	}

	t.Run("empty queue", verify)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org", "c@example.org"}, sizeBytes: 3000}))
	p.fillQueue(6)
	p.hold(p.list()[0].ID)
	t.Run("emails", verify)

	zabbixRefuses(t, "no_such_metric", `--metrics: unknown metric "no_such_metric"`)
	zabbixRefuses(t, "", "the value of --metrics is empty")
	// The agent passes only plain words to a command.
	zabbixRefuses(t, "deferred*", "ZBX_NOTSUPPORTED\x00Special characters")
	p.stop()
	for _, metric := range []string{"deferred", "size", "age"} {
		zabbixRefuses(t, metric, mailSystemDown)
	}
	p.start()
	t.Run("up again", verify)
	p.set("authorized_mailq_users=root")
	zabbixRefuses(t, "deferred", "authorized_mailq_users")
}

// TestZabbixJSON asks the real agent for what the template is made of. Whatever happens, the answer is JSON.
func TestZabbixJSON(t *testing.T) {
	p := startPostfix(t)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
	installEmitter(t)
	startZabbixAgent(t)
	type instance struct {
		Name        string
		Up          bool
		Down, Error string
		Total       struct{ Messages *int64 }
	}
	ask := func(t *testing.T, path string) instance {
		t.Helper()
		answer, err := askZabbix("postfix.queue.json[" + path + "]")
		if err != nil {
			t.Fatal(err)
		}
		var document struct{ Instances []instance }
		if err := json.Unmarshal([]byte(answer), &document); err != nil || len(document.Instances) != 1 {
			t.Fatalf("%v, %q", err, answer)
		}
		return document.Instances[0]
	}
	works := func(t *testing.T, path string) {
		t.Helper()
		if got := ask(t, path); got.Name != "local" || !got.Up || got.Total.Messages == nil || *got.Total.Messages != 1 {
			t.Errorf("got %+v", got)
		}
	}
	fails := func(t *testing.T, path, want string) instance {
		t.Helper()
		got := ask(t, path)
		if got.Name != "local" || got.Up || got.Total.Messages != nil || !strings.Contains(got.Error, want) {
			t.Errorf("want %q, got %+v", want, got)
		}
		return got
	}
	works(t, "")
	snapshot := filepath.Join(publicTempDir(t), "snapshot.json")
	p.must(root.emit(t, "-f", "json", "--to", snapshot))
	works(t, snapshot)
	fails(t, snapshot+".away", "no such file")
	fails(t, saveListing(t, "nonsense\n"), "not the output of postqueue")
	p.set("authorized_mailq_users=root")
	fails(t, "", "authorized_mailq_users")
	p.set("authorized_mailq_users=static:anyone")
	p.stop()
	if got := fails(t, "", mailSystemDown); got.Down == "" {
		t.Errorf("got %+v", got)
	}
	works(t, snapshot)
}

// TestZabbixTimeout reads a queue that cannot be listed in time. The answer must be the emitter's: the agent
// itself would only say that the time is up.
func TestZabbixTimeout(t *testing.T) {
	p := startPostfix(t)
	installEmitter(t)
	startZabbixAgent(t)
	held := p.send(mail{from: "a@example.com", to: []string{"b@example.org"}})
	p.waitDeferred(held)
	p.hold(held)
	stall(t, filepath.Join(spoolDir, "hold", held))
	zabbixRefuses(t, "emails", "could not be read within 2 s")
	answer, err := askZabbix("postfix.queue.json[]")
	if err != nil || !strings.HasPrefix(answer, "{") || !strings.Contains(answer, `"error": "`) ||
		strings.Contains(answer, "messages") {
		t.Errorf("want a document without numbers, got %q, %v", answer, err)
	}
}

// zabbixItem is what the agent says to the item of a metric.
func zabbixItem(t testing.TB, metric string) string {
	t.Helper()
	answer, err := askZabbix("postfix.queue[" + metric + "]")
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// zabbixRefuses fails the test if the item of a metric has a value. Text is not a value for an item that is a
// number: the server then says that it is not supported.
func zabbixRefuses(t testing.TB, metric, want string) {
	t.Helper()
	answer := zabbixItem(t, metric)
	if _, err := strconv.ParseFloat(strings.TrimSpace(answer), 64); err == nil || !strings.Contains(answer, want) {
		t.Errorf("postfix.queue[%s]: want a text with %q, got %q", metric, want, answer)
	}
}
