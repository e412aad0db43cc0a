//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/emit/emittest"
)

const (
	influxProgram = "/usr/bin/influxd"
	influxUser    = "influxdb"
	influxAddress = "127.0.0.1:8086"
	influxUDP     = "127.0.0.1:8089"
)

// An influxDB is a running InfluxDB with an empty database postfix.
type influxDB struct {
	t     testing.TB
	marks int
}

// startInfluxDB returns when it takes points over HTTP and UDP.
func startInfluxDB(t testing.TB) *influxDB {
	t.Helper()
	needFiles(t, "influxdb", influxProgram)
	config := writeConfig(t, "influxdb.conf", fmt.Sprintf(`reporting-disabled = true
bind-address = "127.0.0.1:8088"
[meta]
  dir = "%[1]s/meta"
[data]
  dir = "%[1]s/data"
  wal-dir = "%[1]s/wal"
[http]
  bind-address = "%[2]s"
[[udp]]
  enabled = true
  bind-address = "%[3]s"
  database = "postfix"
  batch-timeout = "10ms"
`, ownedDir(t, influxUser), influxAddress, influxUDP))
	startDaemon(t, command{user: influxUser}, influxProgram, "run", "-config", config)
	db := &influxDB{t: t}
	waitFor(t, "InfluxDB", func() (bool, any) {
		_, err := db.query("CREATE DATABASE postfix")
		return err == nil, err
	})
	db.settle()
	return db
}

// query returns the points of an answer by series, as emittest.Series writes them.
func (db *influxDB) query(text string) (map[string][]storedPoint, error) {
	form := url.Values{"db": {"postfix"}, "epoch": {"s"}, "q": {text}}
	response, err := http.PostForm("http://"+influxAddress+"/query", form)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Results []struct {
			Error  string
			Series []struct {
				Name    string
				Tags    map[string]string
				Columns []string // the first is the time
				Values  [][]*int64
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if len(answer.Results) != 1 || answer.Results[0].Error != "" {
		return nil, fmt.Errorf("%s: %+v", text, answer)
	}
	stored := make(map[string][]storedPoint)
	for _, series := range answer.Results[0].Series {
		// Tags of the other measurements in the answer are there too, but empty.
		maps.DeleteFunc(series.Tags, func(_, value string) bool { return value == "" })
		for _, row := range series.Values {
			for i, value := range row {
				if i > 0 && value != nil {
					name := emittest.Series(series.Name+"."+series.Columns[i], series.Tags)
					stored[name] = append(stored[name], storedPoint{*row[0], *value})
				}
			}
		}
	}
	return stored, nil
}

// settle waits until everything sent so far is stored. Datagrams on lo keep their order.
func (db *influxDB) settle() {
	db.t.Helper()
	db.marks++
	waitFor(db.t, "the mark", func() (bool, any) {
		conn, err := net.Dial("udp", influxUDP)
		if err != nil {
			return false, err
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "mark number=%di\n", db.marks); err != nil {
			return false, err
		}
		marks, err := db.query(fmt.Sprintf("SELECT number FROM mark WHERE number = %d", db.marks))
		return len(marks) > 0, err
	})
}

// settled returns what is stored of queues once everything sent so far is stored.
func (db *influxDB) settled() map[string][]storedPoint {
	db.t.Helper()
	db.settle()
	stored, err := db.query("SELECT * FROM /^postfix_/ GROUP BY *")
	if err != nil {
		db.t.Fatal(err)
	}
	return stored
}

// influxSeries is the series of a metric, with telegraf's names.
func influxSeries(instance, metric string) string {
	tags := map[string]string{"instance_name": instance}
	queue, family, _ := strings.Cut(metric, "_")
	switch {
	case metric == "emails":
		return emittest.Series("postfix_queue_total.length", tags)
	case !slices.Contains(queueNames, queue):
		return emittest.Series("postfix_queue_total."+metric, tags)
	case family == "":
		family = "length"
	}
	tags["queue"] = queue
	return emittest.Series("postfix_queue."+family, tags)
}

// documentedPipe is the command of docs/formats.md that posts lines to InfluxDB's HTTP API, for this one and every
// instance.
func documentedPipe(t testing.TB) string {
	t.Helper()
	content, err := os.ReadFile("../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`(?m)^(postfix_queue_emit -f influx)( \| curl .*)influxdb\.example\.com:8086(.*)$`)
	line := command.FindSubmatch(content)
	if line == nil {
		t.Fatal("docs/formats.md has no command that posts to InfluxDB")
	}
	return fmt.Sprintf("%s -a%s%s%s", line[1], line[2], influxAddress, line[3])
}

// TestInfluxDB stores the numbers of two instances in a real InfluxDB. One of them goes down.
func TestInfluxDB(t *testing.T) {
	pipe := documentedPipe(t)
	ways := map[string]metricStore{
		// The exit code is that of curl.
		"HTTP": {push: func(t *testing.T) result { return runAs(t, "nobody", "sh", "-c", pipe) }},
		"UDP": {push: func(t *testing.T) result {
			return nobody.emit(t, "-a", "--format", "influx", "--to", "udp://"+influxUDP)
		}, failure: 1},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			installEmitter(t)
			db := startInfluxDB(t)
			up := make(map[string][]int64)
			way.series = influxSeries
			way.stored = func() map[string][]storedPoint {
				stored := db.settled()
				for _, instance := range []string{"local", "postfix-out"} {
					status := emittest.Series("postfix_queue_status.up", map[string]string{"instance_name": instance})
					up[instance] = nil
					for _, point := range stored[status] {
						up[instance] = append(up[instance], point.value)
					}
					delete(stored, status)
				}
				return stored
			}
			way.verify(t)
			if diff := cmp.Diff(map[string][]int64{"local": {1, 1}, "postfix-out": {1, 0}}, up); diff != "" {
				t.Errorf("up (-want +got):\n%s", diff)
			}
		})
	}
}
