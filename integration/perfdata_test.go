//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/thresholds"
	"example.org/postfix-queue-monitor/internal/units"
)

// A perfOutput is what the check says, for readers of its performance data.
type perfOutput struct {
	name     string
	stdout   string
	perfdata string
	items    map[string]perfItem // what it must be, by label
	exitCode int
}

// perfOutputs returns outputs of the check with all metrics, thresholds of all forms, several instances, and instances
// with hostile names.
func perfOutputs(t *testing.T) (outputs []perfOutput) {
	t.Helper()
	p := startPostfix(t)
	out := newSecondInstance(p)
	out.start()
	outListed := out.deferMail(3)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org", "c@example.org"}, sizeBytes: 3000}))
	p.fillQueue(11)
	p.hold(p.queueIDs("deferred")[:2]...)
	p.forceExpire(p.queueIDs("deferred")[0])
	numbers := p.list().metrics(queueNames)
	prefixed := func(prefix string, metrics map[string]int64) map[string]int64 {
		all := make(map[string]int64)
		for name, value := range metrics {
			all[prefix+name] = value
		}
		return all
	}
	// add runs the check. In its performance data there must be these values and thresholds, apart from values that
	// nothing else knows.
	add := func(name string, want map[string]int64, ranges map[string][2]string, args ...string) {
		t.Helper()
		a := root.check(t, append(args, "--perfdata", "*")...)
		line1, _, _ := strings.Cut(a.stdout, "\n")
		_, perfdata, _ := strings.Cut(line1, " | ")
		output := perfOutput{name, a.stdout, perfdata, parsePerfdata(t, perfdata), a.exitCode}
		for label, value := range want {
			if got, ok := output.items[label]; !ok || got.Value != value {
				t.Errorf("%s: %s is %d, want %d: %s", name, label, got.Value, value, perfdata)
			}
		}
		for label, item := range output.items {
			if got := [2]string{item.Warn, item.Crit}; got != ranges[label] {
				t.Errorf("%s: thresholds of %s are %q, want %q: %s", name, label, got, ranges[label], perfdata)
			}
		}
		for label := range ranges {
			if _, ok := output.items[label]; !ok {
				t.Errorf("%s: no %s in %s", name, label, perfdata)
			}
		}
		outputs = append(outputs, output)
	}
	add("no threshold", numbers, nil)
	add("reasons", numbers, nil, "--by-reason")
	shortest := map[string]string{"0:0": "0", "0:10": "10", ":10": "10", "@0:0": "@0", "@:10": "@10"}
	for _, text := range slices.Sorted(maps.Keys(rangeTable)) {
		written, known := shortest[text]
		if !known {
			written = text
		}
		add("range "+text, numbers, map[string][2]string{"emails": {written, "1000"}, "hold": {"", written}},
			"-w", text, "-c", "1000", "-c", "hold="+text)
	}
	add("units", numbers, map[string][2]string{
		"size": {"20480", "1024:1073741824"}, "age": {"3600", "@1800:14400"}, "deferred_size": {"1536:", ""},
		"hold_age": {"~:86400", "~:"},
	}, "-w", "size=20K", "-c", "size=1K:1G", "-w", "age=1h", "-c", "age=@30m:4h", "-w", "deferred_size=1.5K:",
		"-w", "hold_age=~:1d", "-c", "hold_age=~:")
	both := prefixed("local_", numbers)
	maps.Copy(both, prefixed("postfix_out_", outListed.metrics(queueNames)))
	add("several instances", both, map[string][2]string{
		"local_emails": {"5", "@100:"}, "postfix_out_emails": {"5", "@100:"},
	}, "-a", "-w", "5", "-c", "@100:")

	snapshot := filepath.Join(publicTempDir(t), "snapshot.json")
	document := p.must(root.emit(t, "-f", "json", "-a")).stdout
	for name, hostile := range map[string]string{"local": "mx.1 '|\"\\,=;:#@~{}\n\té\\", "postfix-out": hostileText} {
		quoted, err := json.Marshal(strings.ToValidUTF8(hostile, "?"))
		if err != nil {
			t.Fatal(err)
		}
		document = strings.Replace(document, `"name": "`+name+`"`, `"name": `+string(quoted), 1)
	}
	if err := os.WriteFile(snapshot, []byte(document), 0o644); err != nil {
		t.Fatal(err)
	}
	add("hostile names", nil, nil, "-i", snapshot)
	hostile := outputs[len(outputs)-1]
	if want := 2 * (len(outputs[0].items) - 1); len(hostile.items) < want {
		t.Errorf("%d items, want at least %d: %s", len(hostile.items), want, hostile.perfdata)
	}
	state := filepath.Join(ownedDir(t, "root"), "state")
	add("growth, not known yet", numbers, nil, "--state", state)
	ageState(t, state, 14*time.Minute)
	p.deleteMail(4)
	numbers = p.list().metrics(queueNames)
	add("a queue that drains", numbers, map[string][2]string{"growth": {"-10000:5000", "~:50000"}},
		"--state", state, "-w", "growth=-10000:5000", "-c", "growth=50000")
	if drained := outputs[len(outputs)-1].items["growth"].Value; drained >= 0 {
		t.Errorf("growth is %d", drained)
	}
	return outputs
}

// TestPerfdataReaders has others read the performance data: Perl's Monitoring::Plugin, and Icinga.
func TestPerfdataReaders(t *testing.T) {
	outputs := perfOutputs(t)
	t.Run("Monitoring::Plugin", func(t *testing.T) { verifyMonitoringPlugin(t, outputs) })
	t.Run("Icinga", func(t *testing.T) { verifyIcinga(t, outputs) })
}

func verifyMonitoringPlugin(t *testing.T, outputs []perfOutput) {
	t.Helper()
	needFiles(t, "libmonitoring-plugin-perl", monitoringPlugin)
	const script = `
		use strict; use warnings;
		use Monitoring::Plugin::Performance use_die => 1;
		while (my $line = <STDIN>) {
			chomp $line;
			print join("\t", map { $_ // '' } $_->label, $_->clean_label, $_->value, $_->uom, $_->warning, $_->critical,
				$_->min, $_->max, $_->threshold->get_status($_->value)), "\n"
				for Monitoring::Plugin::Performance->parse_perfstring($line);
			print "end\n";
		}`
	var input strings.Builder
	for _, output := range outputs {
		input.WriteString(output.perfdata + "\n")
	}
	r := command{stdin: input.String()}.run(t, "perl", "-e", script)
	answers := strings.Split(strings.TrimSuffix(r.stdout, "end\n"), "end\n")
	if r.exitCode != 0 || r.stderr != "" || len(answers) != len(outputs) {
		t.Fatal(r)
	}
	for i, output := range outputs {
		var want, got []string
		worst := 0
		for label, item := range output.items {
			least := "0"
			if growthPattern.MatchString(label + "=0") {
				least = ""
			}
			status := statusOf(t, item)
			worst = max(worst, status)
			switch { // it does not know @ in performance data, and stops reading there
			case strings.HasPrefix(item.Warn, "@"):
				item.Warn, item.Crit, least = "", "", ""
			case strings.HasPrefix(item.Crit, "@"):
				item.Crit, least = "", ""
			}
			want = append(want, strings.Join([]string{
				label, label, fmt.Sprint(item.Value), item.Unit, item.Warn, item.Crit, least, "", fmt.Sprint(statusOf(t, item)),
			}, "\t"))
		}
		got = strings.Split(strings.TrimSuffix(answers[i], "\n"), "\n")
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +Monitoring::Plugin):\n%s", output.name, diff)
		}
		if worst != output.exitCode {
			t.Errorf("%s: exit code %d, but its performance data say %d", output.name, output.exitCode, worst)
		}
	}
}

// statusOf returns the exit code that the thresholds of an item make.
func statusOf(t *testing.T, item perfItem) (status int) {
	t.Helper()
	for code, text := range []string{1: item.Warn, 2: item.Crit} {
		if text == "" {
			continue
		}
		threshold, err := thresholds.ParseRange(text, units.Count)
		if err != nil {
			t.Fatal(err)
		}
		if threshold.Alerts(item.Value) {
			status = code
		}
	}
	return status
}

func verifyIcinga(t *testing.T, outputs []perfOutput) {
	t.Helper()
	needIcinga(t)
	plain := regexp.MustCompile(`^-?[0-9.]+$`)
	var texts []string
	for _, output := range outputs {
		texts = append(texts, output.perfdata)
	}
	read := icingaPerfdata(t, texts...)
	for i, output := range outputs {
		want := make(map[string]perfItem)
		for label, item := range output.items {
			for _, text := range []*string{&item.Warn, &item.Crit} { // it knows no range but a number
				if !plain.MatchString(*text) {
					*text = ""
				}
			}
			want[label] = item
		}
		if diff := cmp.Diff(want, read[i]); diff != "" {
			t.Errorf("%s (-want +Icinga):\n%s", output.name, diff)
		}
	}
}
