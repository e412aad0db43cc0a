//go:build integration && receivers

package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// receiversVariable names the directory of the programs of integration/receivers, which make receivers has built.
const receiversVariable = "RECEIVERS"

func receiver(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(os.Getenv(receiversVariable), name)
	if _, err := exec.LookPath(path); err != nil || !filepath.IsAbs(path) {
		leaveOut(t, fmt.Sprintf("make receivers builds %s, and has its directory in %s: %v", name, receiversVariable, err))
	}
	return path
}

// A received number, of one instance.
type received struct {
	instance, metric string
	value            int64
}

// A route is a way from the emitter to a receiver.
type route struct {
	args []string // of the emitter; none if the receiver runs it
	// read returns what has come, by instance and the emitter's own name of a metric, and everything as text.
	read func(t *testing.T) (numbers map[received]bool, all string)
	// failure is what tells of the instance that is down, in the text; empty: nothing does.
	failure string
}

// twoInstances are a Postfix with mail in its queue, and one that is stopped.
func twoInstances(t *testing.T) (want []received) {
	t.Helper()
	p := startPostfix(t)
	out := newSecondInstance(p)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000}))
	p.fillQueue(6)
	p.hold(p.list()[0].ID)
	if out.running() {
		out.stop()
	}
	for metric, value := range p.list().metrics(queueNames) {
		want = append(want, received{"local", metric, value})
	}
	return want
}

// verify sends what the route needs until the numbers of the queue have come, and looks for the failure.
func (r route) verify(t *testing.T, want []received) {
	t.Helper()
	waitFor(t, "the numbers", func() (bool, any) {
		if r.args != nil {
			sent := nobody.emit(t, r.args...)
			if sent.exitCode != 1 || !strings.Contains(sent.stderr, "postfix-out: "+mailSystemDown) ||
				strings.Count(sent.stderr, "\n") != 1 {
				t.Fatalf("want one instance down and nothing else wrong, got %s", sent)
			}
		}
		got, all := r.read(t)
		missing := slices.DeleteFunc(slices.Clone(want), func(w received) bool { return got[w] })
		if len(missing) > 0 {
			return false, fmt.Sprintf("missing %v in\n%s", missing, all[max(0, len(all)-5000):])
		}
		for n := range got {
			if n.instance == "postfix-out" && n.metric != "up" {
				t.Errorf("a number of the instance that is down: %v", n)
			}
		}
		if !strings.Contains(all, r.failure) {
			return false, fmt.Sprintf("no %q in\n%s", r.failure, all)
		}
		return true, nil
	})
}

// jsonLines returns the objects of a file, one a line. The last one may not be whole yet.
func jsonLines(t *testing.T, path string) (objects []map[string]any, all string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		return nil, err.Error()
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		var object map[string]any
		if json.Unmarshal(lines.Bytes(), &object) == nil {
			objects = append(objects, object)
		}
		all += lines.Text() + "\n"
	}
	return objects, all
}

// influxMetric is the emitter's name of a field.
func influxMetric(measurement, queue, field string) string {
	switch measurement {
	case "postfix_queue_total":
		return map[string]string{"length": "emails"}[field] + map[bool]string{true: field}[field != "length"]
	case "postfix_queue":
		return strings.TrimSuffix(queue+"_"+field, "_length")
	}
	return field // of postfix_queue_status
}

// telegrafConfig writes to a file what inputs bring.
const telegrafConfig = `
[agent]
  interval = "1s"
  flush_interval = "1s"
  omit_hostname = true
[[outputs.file]]
  files = [%q]
  data_format = "json"
  json_timestamp_units = "1ns"
%s`

// TestTelegraf sends the numbers of two instances, one of them down, to a real telegraf in every way that it has.
func TestTelegraf(t *testing.T) {
	telegraf := receiver(t, "telegraf")
	want := twoInstances(t)
	installEmitter(t)
	installPlugin(t)
	socket := filepath.Join(publicTempDir(t), "postfix.sock")
	listener := func(address string) string {
		return fmt.Sprintf("[[inputs.socket_listener]]\nservice_address = %q\ndata_format = \"influx\"\n", address)
	}
	emit := func(args ...string) []string { return append([]string{"-a", "--tag", "site=berlin"}, args...) }
	const exec = "[[inputs.exec]]\ncommands = [%q]\ndata_format = %q\nignore_error = true\n"
	influxDown := `"fields":{"up":0},"name":"postfix_queue_status","tags":{"instance_name":"postfix-out"`
	for name, way := range map[string]struct {
		input   string
		args    []string
		failure string
	}{
		"exec, influx": {
			input:   fmt.Sprintf(exec, "/usr/bin/postfix_queue_emit -a -f influx --tag site=berlin", "influx"),
			failure: influxDown,
		},
		"unixgram": {
			input: listener("unixgram://"+socket) + "socket_mode = \"0666\"\n", failure: influxDown,
			args: emit("-f", "influx", "--to", "unixgram://"+socket),
		},
		"udp": {
			input: listener("udp://127.0.0.1:8094"), failure: influxDown,
			args: emit("-f", "influx", "--to", "udp://127.0.0.1:8094"),
		},
		"tcp": {
			input: listener("tcp://127.0.0.1:8094"), failure: influxDown,
			args: emit("-f", "influx", "--to", "tcp://127.0.0.1:8094"),
		},
		"statsd": {
			input:   "[[inputs.statsd]]\nservice_address = \"127.0.0.1:8125\"\ndatadog_extensions = true\n",
			args:    emit("-f", "statsd", "--tags", "datadog", "-m", "*,up", "--to", "udp://127.0.0.1:8125"),
			failure: `"name":"postfix_queue_up"`,
		},
		"exec, nagios": {
			input:   fmt.Sprintf(exec, pluginPath+" -a -w 5 --perfdata *", "nagios"),
			failure: "postfix-out: mail system is down",
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(publicTempDir(t), "metrics.json")
			config := writeConfig(t, "telegraf.conf", fmt.Sprintf(telegrafConfig, file, way.input))
			startDaemon(t, root, telegraf, config)
			if listens := way.args != nil; listens {
				awaitListener(t, way.args)
			}
			started := time.Now().Add(-time.Minute)
			route{args: way.args, failure: way.failure, read: func(t *testing.T) (map[received]bool, string) {
				t.Helper()
				objects, all := jsonLines(t, file)
				got := make(map[received]bool)
				for _, object := range objects {
					tags, fields := object["tags"].(map[string]any), object["fields"].(map[string]any)
					at := time.Unix(0, int64(object["timestamp"].(float64)))
					if at.Before(started) || at.After(time.Now()) {
						t.Errorf("the time of %v is %v", object, at)
					}
					addTelegraf(got, object["name"].(string), tags, fields)
					if name != "exec, nagios" && tags["site"] != "berlin" {
						t.Errorf("no tag site: %v", object)
					}
				}
				return got, all
			}}.verify(t, want)
		})
	}
}

// addTelegraf adds the numbers of one of telegraf's metrics.
func addTelegraf(got map[received]bool, name string, tags, fields map[string]any) {
	instance, _ := tags["instance_name"].(string)
	queue, _ := tags["queue"].(string)
	for field, value := range fields {
		number, isNumber := value.(float64)
		if !isNumber {
			continue
		}
		metric := influxMetric(name, queue, field)
		switch {
		case name == "nagios": // its numbers are in the tag perfdata
			perf, _ := tags["perfdata"].(string)
			if instance, metric, _ = strings.Cut(perf, "_"); field != "value" {
				continue
			}
		case instance != "" && field == "value": // of StatsD
			metric = strings.TrimPrefix(name, "postfix_queue_")
		}
		got[received{instance, metric, int64(number)}] = true
	}
}

// TestTelegrafPerfdata has a real telegraf read the performance data of the check, with thresholds of all forms.
func TestTelegrafPerfdata(t *testing.T) {
	telegraf := receiver(t, "telegraf")
	outputs := perfOutputs(t)
	dir := publicTempDir(t)
	var inputs strings.Builder
	want := make(map[string]map[string]any) // fields by output and label
	for i, output := range outputs {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, []byte(output.stdout), 0o644); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&inputs, "[[inputs.exec]]\ncommands = [\"/bin/cat %s\"]\ndata_format = \"nagios\"\n", path)
		fmt.Fprintf(&inputs, "[inputs.exec.tags]\noutput = %q\n", output.name)
		for label, item := range output.items {
			fields := map[string]any{"value": float64(item.Value), "unit": item.Unit}
			if !growthPattern.MatchString(label + "=0") {
				fields["min"] = 0.0
			}
			addTelegrafRange(t, fields, "warning", item.Warn)
			addTelegrafRange(t, fields, "critical", item.Crit)
			want[output.name+" "+label] = fields
		}
	}
	file := filepath.Join(publicTempDir(t), "metrics.json")
	startDaemon(t, root, telegraf, writeConfig(t, "telegraf.conf", fmt.Sprintf(telegrafConfig, file, inputs.String())))
	got := make(map[string]map[string]any)
	waitFor(t, "all outputs", func() (bool, any) {
		objects, _ := jsonLines(t, file)
		for _, object := range objects {
			if object["name"] != "nagios" {
				continue
			}
			tags, fields := object["tags"].(map[string]any), object["fields"].(map[string]any)
			fields["unit"] = ""
			if unit, ok := tags["unit"]; ok {
				fields["unit"] = unit
			}
			got[fmt.Sprintf("%s %s", tags["output"], tags["perfdata"])] = fields
		}
		return len(got) >= len(want), len(got)
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +telegraf):\n%s", diff)
	}
}

// addTelegrafRange adds the fields that telegraf makes of a range. They are those of the plugin guidelines, but for
// three differences.
func addTelegrafRange(t *testing.T, fields map[string]any, name, text string) {
	t.Helper()
	if text == "" {
		return
	}
	low, high := "_lt", "_gt"
	inside, isInside := strings.CutPrefix(text, "@")
	if isInside {
		low, high = "_le", "_ge"
	}
	start, end, hasStart := strings.Cut(inside, ":")
	if !hasStart {
		start, end = "0", start
	}
	limit := func(text, none string) float64 {
		if text == "" || text == "~" {
			text = none
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	switch {
	case isInside && (!hasStart || end == ""):
		return // it knows neither @10 nor @10:
	case isInside:
		start = "0" // of @10:20 it loses the start
	}
	fields[name+low] = limit(start, fmt.Sprint(math.SmallestNonzeroFloat64)) // instead of minus infinity
	fields[name+high] = limit(end, fmt.Sprint(math.MaxFloat64))
}

// awaitListener waits until a first message can be sent.
func awaitListener(t *testing.T, args []string) {
	t.Helper()
	waitFor(t, "the receiver", func() (bool, any) {
		r := nobody.emit(t, args...)
		return r.exitCode == 1 && strings.Count(r.stderr, "\n") == 1 && !strings.Contains(r.stderr, "refused") &&
			!strings.Contains(r.stderr, "no such file") && strings.Contains(r.stderr, mailSystemDown), r
	})
}

// TestOpenTelemetry sends gauges to a real OpenTelemetry Collector.
func TestOpenTelemetry(t *testing.T) {
	collector := receiver(t, "otelcol")
	want := twoInstances(t)
	socket := filepath.Join(publicTempDir(t), "dsd.sock") // of mode 0722
	for name, way := range map[string]struct{ endpoint, transport, target string }{
		"udp":      {"127.0.0.1:8125", "udp", "udp://127.0.0.1:8125"},
		"unixgram": {socket, "unixgram", "unixgram://" + socket},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(publicTempDir(t), "metrics.json")
			config := readContrib(t, "../contrib/fleet/otelcol.yaml")
			statsd := fmt.Sprintf("endpoint: %s\n    transport: %s\n", way.endpoint, way.transport)
			config = replaceOnce(t, config, "endpoint: 127.0.0.1:8125\n    transport: udp\n", statsd)
			config = replaceOnce(t, config, "aggregation_interval: 60s", "aggregation_interval: 1s")
			config = replaceOnce(t, config, "  otlp_http:\n    endpoint: https://otlp.example.org\n",
				fmt.Sprintf("  file:\n    path: %s\n", file))
			config = replaceOnce(t, config, "[otlp_http]", "[file]")
			startDaemon(t, root, collector, "--config", writeConfig(t, "otelcol.yaml", config))
			args := []string{"-a", "-f", "statsd", "--tags", "datadog", "-m", "*,up", "--to", way.target}
			awaitListener(t, args)
			route{args: args, failure: `postfix_queue.up`, read: func(t *testing.T) (map[received]bool, string) {
				t.Helper()
				objects, all := jsonLines(t, file)
				got := make(map[received]bool)
				for _, object := range objects {
					walkJSON(object, func(m map[string]any) { addGauge(got, m) })
				}
				return got, all
			}}.verify(t, append(slices.Clone(want), received{"local", "up", 1}, received{"postfix-out", "up", 0}))
		})
	}
}

func replaceOnce(t *testing.T, text, old, replacement string) string {
	t.Helper()
	if strings.Count(text, old) != 1 {
		t.Fatalf("want %q once in\n%s", old, text)
	}
	return strings.Replace(text, old, replacement, 1)
}

func walkJSON(value any, visit func(map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		visit(v)
		for member := range maps.Values(v) {
			walkJSON(member, visit)
		}
	case []any:
		for _, member := range v {
			walkJSON(member, visit)
		}
	}
}

// addGauge adds the numbers of a metric of OTLP, as JSON.
func addGauge(got map[received]bool, m map[string]any) {
	gauge, ok := m["gauge"].(map[string]any)
	if !ok {
		return
	}
	metric := strings.TrimPrefix(m["name"].(string), "postfix_queue.")
	for _, point := range gauge["dataPoints"].([]any) {
		p := point.(map[string]any)
		instance := ""
		for _, attribute := range p["attributes"].([]any) {
			a := attribute.(map[string]any)
			if a["key"] == "instance_name" {
				instance = a["value"].(map[string]any)["stringValue"].(string)
			}
		}
		value, _ := p["asDouble"].(float64)
		got[received{instance, metric, int64(value)}] = true
	}
}

// TestVictoriaMetrics stores the numbers of two instances, one of them down, in a real VictoriaMetrics.
func TestVictoriaMetrics(t *testing.T) {
	program := receiver(t, "victoria-metrics")
	want := twoInstances(t)
	installEmitter(t)
	const web = "127.0.0.1:8428"
	emit := func(format string) string { return "/usr/bin/postfix_queue_emit -a -f " + format }
	post := func(format, path string) []string {
		return []string{emit(format) + " | curl -sSf --data-binary @- http://" + web + path}
	}
	for name, way := range map[string]struct {
		shell  []string // a pipe
		args   []string
		prefix string // of a series' name
	}{
		"influx over tcp":  {args: []string{"-a", "-f", "influx", "--to", "tcp://127.0.0.1:8089"}},
		"influx over HTTP": {shell: post("influx", "/write")},
		"graphite":         {args: []string{"-a", "-f", "graphite", "--tags", "graphite", "--to", "tcp://127.0.0.1:2003"}},
		"prometheus":       {shell: post("prometheus", "/api/v1/import/prometheus")},
	} {
		t.Run(name, func(t *testing.T) {
			startDaemon(t, root, program, "-storageDataPath="+publicTempDir(t), "-httpListenAddr="+web,
				"-influxListenAddr=127.0.0.1:8089", "-graphiteListenAddr=127.0.0.1:2003", "-search.latencyOffset=0s")
			waitFor(t, "VictoriaMetrics", func() (bool, any) {
				response, err := http.Get("http://" + web + "/health")
				if err == nil {
					response.Body.Close()
				}
				return err == nil, err
			})
			r := route{args: way.args, read: func(t *testing.T) (map[received]bool, string) {
				t.Helper()
				if way.shell != nil {
					if r := nobody.run(t, "sh", "-c", way.shell[0]); r.exitCode != 0 {
						t.Fatal(r)
					}
				}
				return readVictoria(t, web)
			}}
			if name != "graphite" { // it has no up unless that is asked for
				r.failure = `"instance_name":"postfix-out"`
			}
			r.verify(t, victoriaWants(name, want))
		})
	}
}

// victoriaWants leaves out what Prometheus' names do not give back so easily: the numbers of each queue remain.
func victoriaWants(name string, want []received) []received {
	if name != "prometheus" {
		return want
	}
	return slices.DeleteFunc(slices.Clone(want), func(r received) bool { return !slices.Contains(queueNames, r.metric) })
}

// readVictoria returns everything that is stored.
func readVictoria(t *testing.T, web string) (map[received]bool, string) {
	t.Helper()
	everything := url.Values{"match[]": {`{__name__!=""}`}}.Encode()
	for _, path := range []string{"/internal/force_flush", "/api/v1/export?" + everything} {
		response, err := http.Get("http://" + web + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(path, "/api") {
			return parseVictoria(t, string(body)), string(body)
		}
	}
	return nil, ""
}

func parseVictoria(t *testing.T, export string) map[received]bool {
	t.Helper()
	got := make(map[received]bool)
	for line := range strings.Lines(export) {
		var series struct {
			Metric     map[string]string
			Values     []float64
			Timestamps []int64
		}
		if err := json.Unmarshal([]byte(line), &series); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		name, instance := series.Metric["__name__"], series.Metric["instance_name"]
		metric := strings.TrimPrefix(name, "postfix_queue.") // of Graphite
		switch {
		case name == "postfix_queue_messages":
			metric = series.Metric["queue"]
		case strings.HasPrefix(name, "postfix_queue_total_"):
			metric = influxMetric("postfix_queue_total", "", strings.TrimPrefix(name, "postfix_queue_total_"))
		case series.Metric["queue"] != "":
			metric = influxMetric("postfix_queue", series.Metric["queue"], strings.TrimPrefix(name, "postfix_queue_"))
		case name == "postfix_queue_status_up" || name == "postfix_queue_up":
			metric = "up"
		}
		for i, value := range series.Values {
			if age := time.Since(time.UnixMilli(series.Timestamps[i])); age < -time.Second || age > time.Hour {
				t.Errorf("the time of %v is %v ago", series.Metric, age)
			}
			got[received{instance, metric, int64(value)}] = true
		}
	}
	return got
}
