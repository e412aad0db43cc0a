package main

import (
	"bytes"
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/postfix-queue-monitor/internal/check"
	"example.org/postfix-queue-monitor/internal/emit"
	"example.org/postfix-queue-monitor/internal/emit/emittest"
	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/thresholds"
)

// oneMessage is a queue of one deferred message.
type oneMessage struct{ sender, recipient, reason, login, client, filter string }

func (oneMessage) Name() string { return "test" }

func (m oneMessage) Read(_ context.Context, _ queue.Depth, visit func(*queue.Message)) (queue.Facts, error) {
	visit(&queue.Message{
		Queue: queue.Deferred, ID: "0A1B2C", SizeBytes: 1000, Arrival: time.Unix(1, 0),
		Sender: m.sender, Recipients: []queue.Recipient{{Address: m.recipient, Reason: m.reason}},
		Login: m.login, Client: m.client, ContentFilter: m.filter,
	})
	return queue.Facts{Detail: "test", KnowsClients: true}, nil
}

func read(t *testing.T, m oneMessage) []queue.Reading {
	t.Helper()
	s, err := queue.Summarize(t.Context(), m, queue.Query{
		Reasons: true, Breakdown: true, IDs: true, Tops: true, Findings: func(*queue.Summary) bool { return true },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Taken, s.AsOf = time.Unix(1000, 0), time.Unix(1000, 0)
	for _, tally := range s.Queues {
		tally.Histograms = nil // of ages up to the moment of the reading
	}
	return []queue.Reading{{Instance: queue.Instance{Name: "local"}, Summary: s}}
}

// harmless is a text that no monitoring system acts upon.
var harmless = regexp.MustCompile(`^[ !#%()*+,./0-9:;=?@A-Z^_a-z{}~\[\]-]*$`)

// perfdataItem is an item of performance data without thresholds.
var perfdataItem = regexp.MustCompile(`^[a-z_]+=[0-9]+[Bs]?;;;0$`)

// actLine is a line with commands, or says why there are none.
var actLine = regexp.MustCompile(`^act {10}(postfix_queue_emit -f ids --(login|client|sender) ` +
	`=[A-Za-z0-9_][A-Za-z0-9._@+=:/-]* {3}\(piped into postsuper -h - it holds them; [a-z' ]+\)|` +
	`(login|client|sender) cannot be typed safely: postfix_queue_emit -f json --breakdown has it)$`)

// inspect fails if one of the programs prints more of a message than it may.
func inspect(t *testing.T, m oneMessage) {
	t.Helper()
	readings := read(t, m)
	// The same message with harmless words. Its category comes from the other reason.
	plain := read(t, oneMessage{"a@example.com", "b@example.com", "x", "a", "192.0.2.1", "x"})
	plain[0].Summary.Reasons = readings[0].Summary.Reasons
	inspectCheck(t, readings, plain)
	for _, name := range emit.FormatNames() {
		for _, style := range emit.TagStyles() {
			format, err := emit.LookupFormat(name)
			if err != nil {
				t.Fatal(err)
			}
			if format.CheckTags(emit.TagStyle(style), nil) == nil {
				inspectFormat(t, format, emit.TagStyle(style), readings, plain)
			}
		}
	}
}

func inspectCheck(t *testing.T, readings, plain []queue.Reading) {
	t.Helper()
	output := func(readings []queue.Reading, crit ...thresholds.Rule) (lines []string, text, perfdata string) {
		var out bytes.Buffer
		check.Judge(readings, check.Options{Detail: check.DetailSource, Reasons: true, Crit: crit}).Write(&out)
		lines = strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		text, perfdata, _ = strings.Cut(lines[0], " | ")
		return lines, text, perfdata
	}
	lines, text, perfdata := output(readings)
	plainLines, plainText, plainPerfdata := output(plain)
	if text != plainText || perfdata != plainPerfdata {
		t.Errorf("line 1 is\n%s\nwant\n%s", lines[0], plainLines[0])
	}
	for item := range strings.SplitSeq(perfdata, " ") {
		if !perfdataItem.MatchString(item) {
			t.Errorf("performance data %q", item)
		}
	}
	tooMany, err := thresholds.ParseRule("0")
	if err != nil {
		t.Fatal(err)
	}
	alert, alertText, alertPerfdata := output(readings, tooMany)
	if want := strings.Replace(perfdata, "emails=1;;;0", "emails=1;;0;0", 1); alertPerfdata != want {
		t.Errorf("performance data %q, want %q", alertPerfdata, want)
	}
	for _, line := range alert[1:] {
		if strings.HasPrefix(line, "act ") && !actLine.MatchString(line) {
			t.Errorf("line %q", line)
		}
	}
	for _, line := range slices.Concat(lines[1:], alert[1:], []string{text, alertText}) {
		if !harmless.MatchString(line) {
			t.Errorf("line %q", line)
		}
	}
	if len(lines) != len(plainLines) {
		t.Errorf("%d lines, want %d:\n%s", len(lines), len(plainLines), strings.Join(lines, "\n"))
	}
}

// inspectFormat fails if a format has a word of the message. A snapshot may have it,
// but only in its breakdown.
func inspectFormat(t *testing.T, format emit.Format, style emit.TagStyle, readings, plain []queue.Reading) {
	t.Helper()
	o := emit.Options{
		Metrics:  queue.Select(queue.Filter{}, func(m queue.Metric) bool { return m.Dimension == queue.ByReason }),
		Now:      time.Unix(1000, 0),
		Prefix:   "postfix_queue",
		TagStyle: style,
		Netdata:  emit.NetdataOptions{Charts: true, Values: true, UpdateEvery: 10},
	}
	got, want := string(format.Encode(readings, o)), string(format.Encode(plain, o))
	if format.Snapshot {
		got = cutBreakdown(t, got, readings[0].Summary.Breakdown)
		want = cutBreakdown(t, want, plain[0].Summary.Breakdown)
	} else if series, err := emittest.Decode(format.Name, got); err != nil || len(series) == 0 {
		t.Errorf("%s with tags %s: %d series, %v", format.Name, style, len(series), err)
	}
	if got != want {
		t.Errorf("%s with tags %s:\n%s\nwant\n%s", format.Name, style, got, want)
	}
}

// cutBreakdown returns a snapshot without its breakdown, which must be the given one.
func cutBreakdown(t *testing.T, document string, want *queue.Breakdown) (rest string) {
	t.Helper()
	var snapshot map[string]any
	if err := json.Unmarshal([]byte(document), &snapshot); err != nil {
		t.Fatal(err)
	}
	instance := snapshot["instances"].([]any)[0].(map[string]any)
	breakdown := instance["breakdown"].(map[string]any)
	first := func(list string) any {
		rows := breakdown[list].(map[string]any)["rows"].([]any)
		return rows[0].(map[string]any)["key"]
	}
	for what, texts := range map[string][2]any{
		"recipient": {first("recipients"), want.Recipients.Rows[0].Key},
		"sender":    {first("sender_domains"), want.Senders.Rows[0].Key},
		"login":     {first("logins"), want.Logins.Rows[0].Key},
		"client":    {first("clients"), want.Clients.Rows[0].Key},
	} {
		// JSON is UTF-8: each invalid byte becomes a replacement character.
		if wanted := string([]rune(texts[1].(string))); texts[0] != wanted {
			t.Errorf("%s %q, want %q", what, texts[0], wanted)
		}
	}
	delete(instance, "findings") // they have the next hop
	delete(instance, "breakdown")
	encoded, err := json.Marshal(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func TestInjectionOfEveryByte(t *testing.T) {
	for b := range 256 {
		text := "x" + string([]byte{byte(b)}) + "y=1;2|emails=9"
		inspect(t, oneMessage{text + "@" + text, text + "@" + text, text, text, text, text})
		inspect(t, oneMessage{"a@a", "b@b", "host " + text + "[192.0.2.1] said: 450 4.2.0 " + text, "a", "1", "x"})
		inspect(t, oneMessage{"a@a", "b@b", "mail transport unavailable", "a", "1", text})
	}
}

func FuzzInjection(f *testing.F) {
	f.Add("a@example.com", "b@example.com", "connect to mx.example.com[192.0.2.1]:25: Connection refused", "a", "1", "x:y")
	f.Add("a@b\nemails=9 | x", "$host.name$@<b>", "\x00\x1b[31m\u2028|'\"\\`", "a b;id", "$(id)", "`id`")
	f.Fuzz(func(t *testing.T, sender, recipient, reason, login, client, filter string) {
		inspect(t, oneMessage{"s" + sender, recipient, "r" + reason, "l" + login, "c" + client, filter})
	})
}
