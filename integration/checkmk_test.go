//go:build integration

package integration

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A localCheck is a line of a Checkmk agent's section <<<local>>>.
type localCheck struct {
	state   int
	service string
	metrics map[string]string // value;warn;crit;min;max
	text    string
}

var localCheckLine = regexp.MustCompile(`^([0-3P]) ("[^"]+"|\S+) (\S+) (.+)\n$`)

// parseLocalCheck reads a line as Checkmk's documentation on local checks describes it.
func parseLocalCheck(t *testing.T, line string) localCheck {
	t.Helper()
	fields := localCheckLine.FindStringSubmatch(line)
	if fields == nil {
		t.Fatalf("not a line of a local check: %q", line)
	}
	state, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	c := localCheck{state: state, service: strings.Trim(fields[2], `"`), metrics: map[string]string{}, text: fields[4]}
	if fields[3] == "-" {
		return c
	}
	metric := regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)=(-?[0-9.]+(?:;(?:-?[0-9.]+)?){4})$`)
	for item := range strings.SplitSeq(fields[3], "|") {
		found := metric.FindStringSubmatch(item)
		if found == nil {
			t.Fatalf("not a metric: %q in %q", item, line)
		}
		c.metrics[found[1]] = found[2]
	}
	return c
}

// TestCheckmk runs the local check of contrib in every state of the queue.
func TestCheckmk(t *testing.T) {
	p := startPostfix(t)
	installPlugin(t)
	script := filepath.Join(contribDir(t), "checkmk/postfix_queue")
	forEachState(t, p, func(t *testing.T, want queueState) {
		r := runAs(t, monitoringUser, script)
		if r.exitCode != 0 || r.stderr != "" {
			t.Fatal(r)
		}
		got := parseLocalCheck(t, r.stdout)
		states := []string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}
		said := says(t, relayCheck...)()
		if states[got.state] != want.state || got.service != "Postfix queue" {
			t.Errorf("want %s, got %+v", want.state, got)
		}
		line1 := strings.TrimPrefix(said.line1(), "POSTFIX_QUEUE "+said.state+" - ")
		withoutAges := regexp.MustCompile(`\d+[smh](?: \d+s)?`)
		if diff := cmp.Diff(withoutAges.ReplaceAllString(line1, ""),
			withoutAges.ReplaceAllString(strings.Split(got.text, `\n`)[0], "")); diff != "" {
			t.Errorf("text (-check +local):\n%s", diff)
		}
		if listed := strconv.Itoa(len(p.list())); said.perfdata == "" {
			if len(got.metrics) != 0 {
				t.Errorf("metrics of a queue that was not read: %v", got.metrics)
			}
		} else if got.metrics["emails"] != listed+";100;500;0;" ||
			!strings.Contains(got.metrics["size"], ";52428800;262144000;0;") {
			t.Errorf("%s emails, got %v", listed, got.metrics)
		}
	})
	t.Run("no program", func(t *testing.T) {
		bind(t, publicTempDir(t), pluginDir)
		got := parseLocalCheck(t, runAs(t, "root", script).stdout)
		if got.state != 3 || len(got.metrics) != 0 {
			t.Errorf("got %+v", got)
		}
	})
}
