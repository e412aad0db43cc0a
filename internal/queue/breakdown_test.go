package queue

import (
	"fmt"
	"strconv"
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
	want := &Breakdown{
		Recipients: Ranking{
			Rows: []RankingRow{
				{"example.com", 4, [AgeColumns]int64{1: 1, 5: 2, 9: 1}},
				{NoDomain, 1, [AgeColumns]int64{0: 1}},
				{"example.org", 1, [AgeColumns]int64{5: 1}},
			},
			Total: RankingRow{"", 6, [AgeColumns]int64{0: 1, 1: 1, 5: 3, 9: 1}},
		},
		Senders: Owners{
			Rows: []Owner{
				{Key: "mail.example.net", Messages: 3},
				{Key: "MAILER-DAEMON", Messages: 1},
				{Key: "lists.example.net", Messages: 1},
			},
			Number:   Distinct{Number: 3},
			Messages: 5,
		},
		Domains: Distinct{Number: 3},
	}
	if len(s.Breakdown.Problems) == 0 {
		t.Error("there are no problems")
	}
	s.Breakdown.Problems = nil
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
		want := map[Category]int64{ConnectionRefused: 2, Greylisted: 1}[category]
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
			Recipients: []Recipient{{fmt.Sprintf("b@%s%d.example", padding, i), inLetters(i) + padding}},
		})
	}
}

// inLetters returns a word for a number: digits would be taken for an identifier.
func inLetters(n int) string {
	return strings.Map(func(r rune) rune { return r - '0' + 'a' }, strconv.Itoa(n))
}

func TestBreakdownIsBounded(t *testing.T) {
	g := newBreakdownBuilder()
	hostile(100_000).each(func(m *Message) { g.add(m, m.Recipients, time.Hour) })
	if n := len(g.recipients.rows); n > rankedKeys {
		t.Errorf("%d domains are remembered", n)
	}
	for _, o := range []*ownerCounter{g.owners.logins, g.owners.clients, g.owners.senders} {
		if n := len(o.rows); n > maxOwners {
			t.Errorf("%d owners are remembered", n)
		}
	}
	if n := len(g.problems.rows); n > maxProblems {
		t.Errorf("%d problems are remembered", n)
	}
	if g.distinct.left < 0 {
		t.Errorf("the budget of different things is %d", g.distinct.left)
	}
	b := g.breakdown()
	if len(b.Recipients.Rows) != 0 || b.Recipients.MaxUndercount == 0 || b.Recipients.Total.Count != 100_000 {
		t.Errorf("%d rows, error %d, of %d", len(b.Recipients.Rows), b.Recipients.MaxUndercount, b.Recipients.Total.Count)
	}
	if !b.MoreProblems || len(b.Senders.Rows) != 0 || b.Senders.Messages != 100_000 || !b.Domains.AtLeast {
		t.Errorf("%+v", b.Senders)
	}
}
