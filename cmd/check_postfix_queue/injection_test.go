package main

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"example.org/postfix-queue-monitor/internal/check"
	"example.org/postfix-queue-monitor/internal/emit"
	"example.org/postfix-queue-monitor/internal/queue"
)

// oneMessage is a queue of one deferred message.
type oneMessage struct{ sender, recipient, reason string }

func (oneMessage) Name() string { return "test" }

func (m oneMessage) Read(_ context.Context, _ queue.Depth, visit func(*queue.Message)) (queue.Facts, error) {
	visit(&queue.Message{
		Queue: queue.Deferred, ID: "1", SizeBytes: 1000, Arrival: time.Unix(1, 0),
		Sender: m.sender, Recipients: []queue.Recipient{{Address: m.recipient, Reason: m.reason}},
	})
	return queue.Facts{Detail: "test"}, nil
}

func read(t *testing.T, m oneMessage) []queue.Reading {
	t.Helper()
	s, err := queue.Summarize(t.Context(), m, queue.Query{Reasons: true, Breakdown: true})
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

// inspect holds what both programs say of a message to what they may say.
func inspect(t *testing.T, m oneMessage) {
	t.Helper()
	readings := read(t, m)
	var out bytes.Buffer
	check.Judge(readings, check.Options{Detail: check.DetailSource, Reasons: true}).Write(&out)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	text, perfdata, found := strings.Cut(lines[0], " | ")
	if !found || !strings.HasPrefix(text, "POSTFIX_QUEUE OK - 1 email, ") {
		t.Errorf("line 1 is %q", lines[0])
	}
	for item := range strings.SplitSeq(perfdata, " ") {
		if !regexp.MustCompile(`^[a-z_]+=[0-9]+[Bs]?;;;0$`).MatchString(item) {
			t.Errorf("performance data %q", item)
		}
	}
	for _, line := range append(lines[1:], text) {
		if !harmless.MatchString(line) {
			t.Errorf("line %q", line)
		}
	}
	// Line 1, queues, reasons, domains, senders, source. One more would be one that the message has made.
	if want := 1 + 7 + 2 + 4 + 2 + 1; len(lines) != want {
		t.Errorf("%d lines, want %d:\n%s", len(lines), want, out.String())
	}

	// No metrics system is told a word of the message.
	plain := read(t, oneMessage{"a@example.com", "b@example.com", "x"})
	plain[0].Summary.Reasons = readings[0].Summary.Reasons
	for _, name := range emit.FormatNames() {
		if name == "json" {
			continue // holds the breakdown, and is read back by the tests of snapshots
		}
		format, err := emit.LookupFormat(name)
		if err != nil {
			t.Fatal(err)
		}
		o := emit.Options{Metrics: queue.Metrics(), Now: time.Unix(1000, 0), Prefix: "postfix_queue"}
		o.Netdata = emit.NetdataOptions{Charts: true, Values: true, UpdateEvery: 10}
		if got, want := format(readings, o), format(plain, o); !bytes.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestInjectionOfEveryByte(t *testing.T) {
	for b := range 256 {
		text := "x" + string([]byte{byte(b)}) + "y=1;2|emails=9"
		inspect(t, oneMessage{text + "@" + text, text + "@" + text, text})
	}
}

func FuzzInjection(f *testing.F) {
	f.Add("a@example.com", "b@example.com", "connect to mx.example.com[192.0.2.1]:25: Connection refused")
	f.Add("a@b\nemails=9 | x", "$host.name$@<b>", "\x00\x1b[31m\u2028|'\"\\`")
	f.Fuzz(func(t *testing.T, sender, recipient, reason string) {
		inspect(t, oneMessage{"s" + sender, recipient, "r" + reason})
	})
}
