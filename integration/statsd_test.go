//go:build integration

package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The servers that the gauges are sent to, from the registries of their languages.
const (
	statsdPackage         = "statsd@0.9.0"
	statsdExporterPackage = "github.com/prometheus/statsd_exporter@v0.31.0"

	statsdAddress         = "127.0.0.1:8125"
	statsdManagement      = "127.0.0.1:8126"
	statsdExporterAddress = "127.0.0.1:9125"
	statsdExporterWeb     = "127.0.0.1:9102"
)

// fetch runs a program that may need the network, which tests do not have. It uses the npm and Go caches of the
// user, so that the network is needed only once.
func fetch(t testing.TB, env []string, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// Process 1 still is in the network of the machine.
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=/proc/1/ns/net", program}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), env...)
	if output, err := cmd.CombinedOutput(); err != nil {
		leaveOut(t, fmt.Sprintf("%s %q: %v\n%s", program, args, err, output))
	}
}

// A gaugeServer is what StatsD gauges are sent to.
type gaugeServer struct {
	t       testing.TB
	address string
	// read returns all gauges by the name they were sent with, with tags as the server itself writes them, and the
	// number of datagrams that have come.
	read func() (gauges map[string]int64, datagrams int64, err error)
}

// startStatsD starts the original StatsD.
func startStatsD(t testing.TB) gaugeServer {
	t.Helper()
	dir := publicTempDir(t)
	fetch(t, nil, "npm", "install", "--no-audit", "--no-fund", "--omit=optional", "--ignore-scripts",
		"--prefix", dir, statsdPackage)
	node, err := exec.LookPath("node")
	if err != nil {
		leaveOut(t, err.Error())
	}
	// A flush would clear the counters.
	config := writeConfig(t, "config.js", `{
		address: "127.0.0.1", port: 8125, mgmt_address: "127.0.0.1", mgmt_port: 8126,
		backends: ["./backends/console"], flushInterval: 86400000,
	}`)
	startDaemon(t, command{user: "nobody"}, node, filepath.Join(dir, "node_modules/statsd/stats.js"), config)
	item := regexp.MustCompile(`'?([\w.;=-]+)'?: (\d+)`)
	ask := func(what string) (map[string]int64, error) {
		conn, err := net.DialTimeout("tcp", statsdManagement, patience)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return nil, err
		}
		// It takes what comes at once for one command.
		if _, err := fmt.Fprintln(conn, what); err != nil {
			return nil, err
		}
		values := make(map[string]int64)
		lines := bufio.NewScanner(conn)
		for lines.Scan() && lines.Text() != "END" {
			for _, m := range item.FindAllStringSubmatch(lines.Text(), -1) {
				values[m[1]] = int64(number(t, m[2]))
			}
		}
		if err := lines.Err(); err != nil {
			return nil, err
		}
		return values, nil
	}
	return gaugeServer{t, statsdAddress, func() (map[string]int64, int64, error) {
		gauges, err := ask("gauges")
		if err != nil {
			return nil, 0, err
		}
		counters, err := ask("counters")
		return gauges, counters["statsd.packets_received"], err
	}}
}

// startStatsDExporter starts the bridge from StatsD to Prometheus.
func startStatsDExporter(t testing.TB) gaugeServer {
	t.Helper()
	dir := publicTempDir(t)
	// The tests may be those of another architecture.
	fetch(t, []string{"GOBIN=" + dir, "GOOS=", "GOARCH=", "CGO_ENABLED=0"}, "go", "install", statsdExporterPackage)
	startDaemon(t, command{user: "nobody"}, filepath.Join(dir, "statsd_exporter"),
		"--statsd.listen-udp="+statsdExporterAddress, "--statsd.listen-tcp="+statsdExporterAddress,
		"--web.listen-address="+statsdExporterWeb)
	sample := regexp.MustCompile(`(?m)^(\w+(?:{.*})?) (\S+)$`)
	return gaugeServer{t, statsdExporterAddress, func() (map[string]int64, int64, error) {
		response, err := http.Get("http://" + statsdExporterWeb + "/metrics")
		if err != nil {
			return nil, 0, err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			return nil, 0, err
		}
		gauges := make(map[string]int64)
		for _, m := range sample.FindAllStringSubmatch(string(text), -1) {
			value, err := strconv.ParseFloat(m[2], 64)
			if err != nil {
				return nil, 0, err
			}
			// Prometheus has no dots in names.
			gauges[strings.Replace(m[1], "postfix_queue_", "postfix_queue.", 1)] = int64(value)
		}
		return gauges, gauges["statsd_exporter_udp_packets_total"], nil
	}}
}

// gauges are those of the emitter, as it would print them.
func (s gaugeServer) gauges() (document string, err error) {
	all, _, err := s.read()
	var b strings.Builder
	for name, value := range all {
		if strings.HasPrefix(name, "postfix_queue.") {
			fmt.Fprintf(&b, "%s:%d|g\n", name, value)
		}
	}
	return b.String(), err
}

// send sends a gauge that only this test uses.
func (s gaugeServer) send(name string, value int) {
	s.t.Helper()
	conn, err := net.Dial("udp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	// If nobody listens yet, only a later write fails.
	if _, err := fmt.Fprintf(conn, "%s:%d|g", name, value); err != nil {
		s.t.Fatal(err)
	}
}

// awaitReady waits until the server takes gauges.
func (s gaugeServer) awaitReady() {
	s.t.Helper()
	waitFor(s.t, "the server", func() (bool, any) {
		s.send("ready", 1)
		gauges, _, err := s.read()
		return gauges["ready"] == 1, err
	})
	s.mark(1)
}

// mark waits until the server has processed everything sent so far, and returns the number of datagrams. Each
// mark must be a different number.
func (s gaugeServer) mark(mark int) (datagrams int64) {
	s.t.Helper()
	s.send("mark", mark)
	waitFor(s.t, "the mark", func() (bool, any) {
		gauges, n, err := s.read()
		datagrams = n
		return gauges["mark"] == int64(mark), fmt.Sprintf("%v; gauges are %v", err, gauges)
	})
	return datagrams
}

// TestStatsD sends the gauges of a changing queue to the real servers.
func TestStatsD(t *testing.T) {
	for name, start := range map[string]func(testing.TB) gaugeServer{
		"etsy":            startStatsD,
		"statsd_exporter": startStatsDExporter,
	} {
		t.Run(name, func(t *testing.T) {
			p := startPostfix(t)
			server := start(t)
			server.awaitReady()
			testGaugeServer(t, p, server)
		})
	}
}

func testGaugeServer(t *testing.T, p *postfixInstance, server gaugeServer) {
	push := func() result {
		t.Helper()
		return nobody.emit(t, "--format", "statsd", "--to", "udp://"+server.address)
	}
	marks := 1
	mark := func() int64 { marks++; return server.mark(marks) }
	verify := func(change string) {
		t.Helper()
		before := mark()
		ran := during(func() {
			if r := push(); r.exitCode != 0 || r.stdout != "" || r.stderr != "" {
				t.Fatalf("%s: want success without a word, got %s", change, r)
			}
		})
		if came := mark() - before - 1; came != 1 {
			t.Errorf("%s: %d datagrams came, want 1", change, came)
		}
		document, err := server.gauges()
		if err != nil {
			t.Fatal(err)
		}
		checkMetrics(t, parseGauges(t, document), ran, p.list(), queueNames)
	}

	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org", "c@example.org"}, sizeBytes: 3000}))
	verify("one email")
	p.fillQueue(30)
	p.hold(p.list()[0].ID)
	verify("more emails")
	p.postsuper("-d", "ALL")
	verify("no email")

	p.stop()
	document, err := server.gauges()
	if err != nil {
		t.Fatal(err)
	}
	before := mark()
	if r := push(); r.exitCode != 1 || r.stdout != "" || !strings.Contains(r.stderr, mailSystemDown) {
		t.Errorf("want to be told %q, got %s", mailSystemDown, r)
	}
	if came := mark() - before - 1; came != 0 {
		t.Errorf("%d datagrams came while Postfix was down", came)
	}
	if after, err := server.gauges(); err != nil || sortedLines(after) != sortedLines(document) {
		t.Errorf("gauges changed while Postfix was down: %v\nfrom\n%sto\n%s", err, document, after)
	}

	p.start()
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
	verify("Postfix is up again")
}

// TestStatsDTags sends the gauges of two instances to the real servers, with every style of tags: those that a
// server reads, and what it makes of the others.
func TestStatsDTags(t *testing.T) {
	p := startPostfix(t)
	out := newSecondInstance(p)
	out.start()
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org", "c@example.org"}, sizeBytes: 3000}))
	p.fillQueue(4)
	queues := map[string]listing{"local": p.list(), "postfix-out": out.deferMail(2)}
	asTags := "postfix_queue.%[1]s;instance_name=%[2]s;site=%[3]s"
	asLabels := `postfix_queue.%[1]s{instance_name="%[2]s",site="%[3]s"}`
	for name, server := range map[string]struct {
		start  func(testing.TB) gaugeServer
		styles map[string]string // metric, instance and the style, which is the tag's value, as a gauge's name
	}{
		"etsy": {startStatsD, map[string]string{
			"datadog":  asTags,
			"graphite": asTags,
			"influx":   "postfix_queue.%[1]sinstance_name=%[2]ssite=%[3]s", // it drops the commas
		}},
		"statsd_exporter": {startStatsDExporter, map[string]string{
			"datadog":  asLabels,
			"influx":   asLabels,
			"graphite": "postfix_queue.%[1]s_instance_name_%[2]s_site_%[3]s", // it knows no such tags
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := server.start(t)
			s.awaitReady()
			marks := 1
			for style, pattern := range server.styles {
				marks++
				t.Run(style, func(t *testing.T) { testTaggedGauges(t, s, queues, style, pattern, marks) })
			}
		})
	}
}

func testTaggedGauges(t *testing.T, s gaugeServer, queues map[string]listing, style, pattern string, mark int) {
	ran := during(func() {
		r := nobody.emit(t, "-a", "--format", "statsd", "--tags", style, "--tag", "site="+style,
			"--to", "udp://"+s.address)
		if r.exitCode != 0 || r.stdout != "" || r.stderr != "" {
			t.Fatalf("want success without a word, got %s", r)
		}
	})
	s.mark(mark)
	all, _, err := s.read()
	if err != nil {
		t.Fatal(err)
	}
	for instance, queue := range queues {
		if !strings.Contains(pattern, "=") {
			instance = strings.ReplaceAll(instance, "-", "_") // a name in Prometheus has no hyphen
		}
		gauges := make(map[string]int64)
		for _, metric := range append(metricNames(), "last_success") {
			if value, known := all[fmt.Sprintf(pattern, metric, instance, style)]; known {
				gauges[metric] = value
			}
		}
		if at := gauges["last_success"]; at < ran.from.Unix() || at > ran.to.Unix() {
			t.Errorf("%s: last_success is %d, want %d to %d; all gauges are %v",
				instance, at, ran.from.Unix(), ran.to.Unix(), all)
		}
		delete(gauges, "last_success")
		checkMetrics(t, gauges, ran, queue, queueNames)
	}
}

func sortedLines(document string) string {
	return strings.Join(slices.Sorted(strings.Lines(document)), "")
}

// TestStatsDIsKilled sends to a server before it is killed, while it is down, and after it was started again.
func TestStatsDIsKilled(t *testing.T) {
	tests := map[string]struct {
		start            func(testing.TB) gaugeServer
		network, address string
	}{
		"etsy":            {startStatsD, "udp", statsdAddress},
		"statsd_exporter": {startStatsDExporter, "tcp", statsdExporterAddress},
	}
	for name, test := range tests {
		target := test.network + "://" + test.address
		t.Run(name+" at "+target, func(t *testing.T) {
			listing := generateListing(t, 3)
			push := func() result {
				t.Helper()
				return nobody.emit(t, "--format", "statsd", "--to", target, "--input", listing)
			}
			delivers := func() {
				t.Helper()
				server := test.start(t)
				server.awaitReady()
				if r := push(); r.exitCode != 0 || r.stdout != "" || r.stderr != "" {
					t.Errorf("want success without a word, got %s", r)
				}
				waitFor(t, "3 emails", func() (bool, any) {
					gauges, _, err := server.read()
					return gauges["postfix_queue.emails"] == 3, fmt.Sprint(gauges, err)
				})
			}
			before := liveProcesses(t)
			delivers()
			servers := newProcesses(t, before)
			if len(servers) != 1 {
				t.Fatalf("processes of the server are %v, want one", servers)
			}
			if err := unix.Kill(servers[0].pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the end of its socket", func() (bool, any) {
				err := refused(test.network, test.address)
				return errors.Is(err, unix.ECONNREFUSED), err
			})
			if r := push(); r.exitCode != 1 || r.stdout != "" || !strings.Contains(r.stderr, "connection refused") ||
				!strings.HasPrefix(r.stderr, "postfix_queue_emit: cannot send to "+target) {
				t.Errorf("want to be told that nobody listens, got %s", r)
			}
			delivers()
		})
	}
}

// refused is the error of a line that is sent, nil if somebody listens.
func refused(network, address string) error {
	conn, err := net.Dial(network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprintln(conn, "ready:1|g"); err != nil {
		return err
	}
	_, err = fmt.Fprintln(conn, "ready:1|g") // says what became of the first
	return err
}
