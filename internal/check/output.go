package check

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/atc0005/go-nagios"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/units"
)

// Result is the answer to the monitoring system.
type Result struct {
	State State
	Lines []queue.Text // Lines[0] is line 1 without its state and performance data
	Perf  []Perf

	maxText int // bytes of text; 0: MaxText
}

// Perf is one item of performance data. Warn and Crit are ranges in canonical form and in the value's unit, or
// empty.
type Perf struct {
	Label      string
	Value      int64
	Unit       units.Unit
	Warn, Crit string
	metric     queue.Metric
}

// min returns the least value that there can be; empty if there is none.
func (p Perf) min() string {
	if isGrowth(p.metric) {
		return ""
	}
	return "0"
}

const serviceName = "POSTFIX_QUEUE"

// Limits in bytes: what Nagios and NRPE certainly pass on. Performance data is never cut, as half of it would be
// invalid: the text of line 1 makes room for it, down to its own least length.
const (
	maxLine1     = 1 << 10
	minLine1Text = 256
	MaxText      = 4 << 10
)

// Failed returns the answer for a check that could not be made: UNKNOWN, with the reason.
func Failed(reason queue.Text) Result {
	return Result{State: Unknown, Lines: []queue.Text{reason}}
}

// Write writes the answer as a plugin does: line 1 with all performance data, then the other lines. It returns
// the plugin's exit code.
//
// go-nagios has the exit codes, the labels of states and the validation of performance data. Of its Plugin only
// the life cycle is used: it would put performance data behind all text, where a limit would cut it off.
func (r Result) Write(w io.Writer) (exitCode int) {
	text, err := r.text()
	if err != nil {
		r = Failed(queue.Safe(err.Error()))
		text, _ = r.text()
	}
	var output bytes.Buffer
	plugin := nagios.Plugin{ExitStatusCode: int(r.State), ServiceOutput: text}
	plugin.SetOutputTarget(&output)
	plugin.SkipOSExit()
	plugin.ReturnCheckResults()
	output.WriteByte('\n')
	if _, err := output.WriteTo(w); err != nil {
		return int(Unknown) // nobody has seen the answer
	}
	return plugin.ExitStatusCode
}

func (r Result) text() (string, error) {
	perf, err := perfdata(r.Perf)
	if err != nil {
		return "", err
	}
	if perf != "" {
		perf = " | " + perf
	}
	line1 := serviceName + " " + queue.Text(r.State.String()) + " - " + r.Lines[0]
	text := withoutPerf(shorten(line1, max(minLine1Text, maxLine1-len(perf))))
	lines := []string{text + perf}
	lines = append(lines, fitting(r.Lines[1:], cmp.Or(r.maxText, MaxText)-len(text))...)
	return strings.Join(lines, "\n"), nil
}

// fitting returns the lines that fit into a number of bytes, and says how many do not.
func fitting(texts []queue.Text, room int) (lines []string) {
	const markRoom = 60
	for i, text := range texts {
		line := strings.TrimRight(withoutPerf(text), " ")
		rest := room - 1 - len(line)
		if rest < 0 || rest < markRoom && i < len(texts)-1 {
			return append(lines, "... "+units.Plural(int64(len(texts)-i), "more line")+": run it on the host")
		}
		room = rest
		lines = append(lines, line)
	}
	return lines
}

// withoutPerf returns text in which nothing looks like performance data: that begins at the first |, even one
// that the administrator has typed.
func withoutPerf(text queue.Text) string {
	return strings.ReplaceAll(string(text), "|", "?")
}

func shorten(line queue.Text, limit int) queue.Text {
	const mark = "..."
	if len(line) <= limit {
		return line
	}
	return line[:limit-len(mark)] + mark
}

func perfdata(items []Perf) (string, error) {
	items = slices.SortedFunc(slices.Values(items), func(a, b Perf) int { return cmp.Compare(a.Label, b.Label) })
	words := make([]string, len(items))
	for i, p := range items {
		item := nagios.PerformanceData{
			Label: p.Label, Value: strconv.FormatInt(p.Value, 10), UnitOfMeasurement: string(p.Unit),
			Warn: p.Warn, Crit: p.Crit, Min: p.min(),
		}
		if err := item.Validate(); err != nil {
			return "", fmt.Errorf("performance data of %s: %w", p.Label, err)
		}
		// Without the library's quotes: a label of [a-z0-9_] needs none.
		word := fmt.Sprintf("%s=%s%s;%s;%s;%s", item.Label, item.Value, item.UnitOfMeasurement, item.Warn, item.Crit, item.Min)
		words[i] = strings.TrimRight(word, ";")
	}
	return strings.Join(words, " "), nil
}
