package queue

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDomainOf(t *testing.T) {
	tests := map[string]string{
		"a@example.com":                          "example.com",
		"a@EXAMPLE.Com":                          "example.com",
		`"a@b"@example.com`:                      "example.com",
		"@relay.example:a@example.com":           "example.com",
		"a@[192.0.2.1]":                          "[192.0.2.1]",
		"MAILER-DAEMON":                          "MAILER-DAEMON",
		"root":                                   NoDomain,
		"":                                       NoDomain,
		"a@":                                     NoDomain,
		"a@" + strings.Repeat("x", 300) + ".com": strings.Repeat("x", 251) + ".com",
	}
	for address, want := range tests {
		if got := domainOf(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}

func TestBreakdown(t *testing.T) {
	s, err := Summarize(t.Context(), messages{list: stuckQueue()}, Query{Breakdown: true})
	if err != nil {
		t.Fatal(err)
	}
	const refused = "connect to mx.example.com[192.0.2.1]:25: Connection refused"
	want := &Breakdown{
		Recipients: Ranking{
			Rows: []RankingRow{
				{"example.com", 4, [AgeColumns]int64{1: 1, 5: 2, 9: 1}},
				{NoDomain, 1, [AgeColumns]int64{0: 1}},
				{"example.org", 1, [AgeColumns]int64{5: 1}},
			},
			Total: RankingRow{"", 6, [AgeColumns]int64{0: 1, 1: 1, 5: 3, 9: 1}},
		},
		Senders: Ranking{
			Rows: []RankingRow{
				{"mail.example.net", 3, [AgeColumns]int64{0: 2, 9: 1}},
				{"MAILER-DAEMON", 1, [AgeColumns]int64{1: 1}},
				{"lists.example.net", 1, [AgeColumns]int64{5: 1}},
			},
			Total: RankingRow{"", 5, [AgeColumns]int64{0: 2, 1: 1, 5: 1, 9: 1}},
		},
		Reasons: []ReasonCount{
			{ConnectionRefused, 2, refused},
			{OnHold, 1, ""},
			{
				RateLimited,
				1,
				"host mx.example.org[192.0.2.2] said: 450 4.2.0 <b@example.org>: Recipient address rejected: Greylisted (in " +
					"reply to RCPT TO command)",
			},
			{Unrecorded, 1, ""},
		},
	}
	if diff := cmp.Diff(want, s.Breakdown); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReasonMetrics(t *testing.T) {
	s, err := Summarize(t.Context(), messages{list: stuckQueue()}, Query{Reasons: true})
	if err != nil {
		t.Fatal(err)
	}
	if s.Breakdown != nil {
		t.Error("there is a breakdown, but the query did not ask for it")
	}
	for _, category := range Categories() {
		want := map[Category]int64{ConnectionRefused: 2, RateLimited: 1}[category]
		m, ok := Lookup("deferred_" + string(category))
		if !ok {
			t.Fatalf("there is no metric for %s", category)
		}
		if got, known := m.Value(s); got != want || !known {
			t.Errorf("%s: %d, %t; want %d", m.Name, got, known, want)
		}
		if _, known := m.Value(&Summary{}); known {
			t.Errorf("%s is known, but it was not counted", m.Name)
		}
	}
	for _, f := range []Filter{{Queues: []Name{Hold}}, {}} {
		shown := 0
		for _, m := range Select(f, func(Metric) bool { return true }) {
			if m.Dimension == ByReason {
				shown++
			}
		}
		if (shown > 0) != f.Covers(Deferred) {
			t.Errorf("%d metrics of reasons with filter %q", shown, f)
		}
	}
}

// hostile is a queue of messages of which no two have anything in common.
type hostile int

func (hostile) Name() string { return "hostile" }

func (h hostile) each(visit func(*Message)) {
	padding := strings.Repeat("x", 200)
	for i := range int(h) {
		visit(&Message{
			Queue: Deferred, Arrival: time.Unix(int64(i), 0),
			Sender:     fmt.Sprintf("a@%s%d.example", padding, i),
			Recipients: []Recipient{{fmt.Sprintf("b@%s%d.example", padding, i), fmt.Sprintf("%d%s", i, padding)}},
		})
	}
}

func TestBreakdownIsBounded(t *testing.T) {
	g := newBreakdownBuilder(Query{Breakdown: true})
	hostile(100_000).each(func(m *Message) { g.add(m, m.Recipients, time.Hour) })
	if n := len(g.recipients.rows) + len(g.senders.rows); n > 2*rankedKeys {
		t.Errorf("%d domains are remembered", n)
	}
	if n := len(g.examples[Other].rows); n > rankedExamples {
		t.Errorf("%d reasons are remembered", n)
	}
	b := g.breakdown()
	if len(b.Recipients.Rows) != 0 || b.Recipients.MaxUndercount == 0 || b.Recipients.Total.Count != 100_000 {
		t.Errorf("%d rows, error %d, of %d", len(b.Recipients.Rows), b.Recipients.MaxUndercount, b.Recipients.Total.Count)
	}
	if len(b.Reasons) != 1 || b.Reasons[0].Messages != 100_000 || b.Reasons[0].Example == "" {
		t.Errorf("the reasons are %v", b.Reasons)
	}
}
