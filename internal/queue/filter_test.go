package queue

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func patterns(t *testing.T, texts ...string) Patterns {
	t.Helper()
	var p Patterns
	for _, text := range texts {
		if err := p.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestPatterns(t *testing.T) {
	tests := []struct {
		name     string
		patterns []string
		matching []string
		others   []string
	}{
		{name: "none", matching: []string{"", "a"}},
		{
			name:     "anywhere, in upper or lower case",
			patterns: []string{"EXAMPLE\\.com"},
			matching: []string{"a@example.com", "a@Example.COM.test"},
			others:   []string{"", "a@exampleXcom"},
		},
		{
			name:     "any of them",
			patterns: []string{"^a@", "^b@"},
			matching: []string{"a@example.com", "b@example.com"},
			others:   []string{"c@example.com"},
		},
		{
			name:     "alternation ignores case on both sides",
			patterns: []string{"one|two"},
			matching: []string{"ONE", "TWO"},
			others:   []string{"three"},
		},
		{
			name:     "not",
			patterns: []string{"!newsletter"},
			matching: []string{"", "a@example.com"},
			others:   []string{"newsletter@example.com"},
		},
		{name: "none of several", patterns: []string{"!^a", "!^b"}, matching: []string{"c"}, others: []string{"a", "b"}},
		{
			name:     "one and not another",
			patterns: []string{"@example.com$", "!^root@"},
			matching: []string{"a@example.com"},
			others:   []string{"root@example.com", "a@example.org"},
		},
		{
			name:     "not another and one",
			patterns: []string{"!^root@", "@example.com$"},
			matching: []string{"a@example.com"},
			others:   []string{"root@example.com", "a@example.org"},
		},
		{
			name:     "a whole address",
			patterns: []string{"=a.b+c@example.com"},
			matching: []string{"a.b+c@example.com", "A.B+C@Example.com"},
			others:   []string{"axb+c@example.com", "xa.b+c@example.com", "a.b+c@example.com.test", "a.b+c@example.com\n"},
		},
		{
			name:     "a domain",
			patterns: []string{"=@example.com"},
			matching: []string{"a@example.com", "b@EXAMPLE.com"},
			others:   []string{"a@mail.example.com", "a@example.com.test", "a@examplexcom", "example.com"},
		},
		{
			name:     "not a domain, and an expression",
			patterns: []string{"!=@example.com", "example"},
			matching: []string{"a@example.org"},
			others:   []string{"a@example.com"},
		},
		{name: "nothing at all", patterns: []string{"^$"}, matching: []string{""}, others: []string{"a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := patterns(t, tt.patterns...)
			for _, text := range tt.matching {
				if !p.Match(text) {
					t.Errorf("%q does not match", text)
				}
			}
			for _, text := range tt.others {
				if p.Match(text) {
					t.Errorf("%q matches", text)
				}
			}
		})
	}
}

func TestPatternsRefuse(t *testing.T) {
	for _, text := range []string{"", "!", "(", "!(", `\8`, "=", "!="} {
		var p Patterns
		if err := p.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestFilterOfAllQueuesIsNotDescribed(t *testing.T) {
	if got := (Filter{Queues: Names(), OlderThan: time.Hour}).String(); got != "at least 1h old" {
		t.Errorf("got %q", got)
	}
}

func TestFilterString(t *testing.T) {
	tests := map[string]Filter{
		"":                    {},
		"only queue hold":     {Queues: []Name{Hold}},
		"all queues but hold": {Queues: []Name{Active, Deferred, Incoming, Maildrop}},
		"only queue deferred, sender a or b and not c, recipient not d, reason e, at least 90m old": {
			Queues:     []Name{Deferred},
			Senders:    patterns(t, "!c", "a", "b"),
			Recipients: patterns(t, "!d"),
			Reasons:    patterns(t, "e"),
			OlderThan:  90 * time.Minute,
		},
		"login =anna, client not ^192": {Logins: patterns(t, "=anna"), Clients: patterns(t, "!^192")},
		"at least 2d old":              {OlderThan: 48 * time.Hour},
		"at least 5h old":              {OlderThan: 5 * time.Hour},
		"at least 61s old":             {OlderThan: 61 * time.Second},
	}
	for want, f := range tests {
		if got := f.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if f.IsZero() != (want == "") {
			t.Errorf("%q: IsZero is %t", want, f.IsZero())
		}
	}
}

// stuckQueue is mail to two domains, from a newsletter and from people.
func stuckQueue() []Message {
	const refused = "connect to mx.example.com[192.0.2.1]:25: Connection refused"
	const greylisted = "host mx.example.org[192.0.2.2] said: 450 4.2.0 <b@example.org>: Recipient address " +
		"rejected: Greylisted (in reply to RCPT TO command)"
	return []Message{
		{
			Queue:     Deferred,
			SizeBytes: 1,
			Arrival:   ago(2 * time.Hour),
			Sender:    "news@lists.example.net",
			Recipients: []Recipient{
				{"a@example.com", refused}, {"b@example.org", greylisted}, {"A@EXAMPLE.COM", refused},
			}},
		{
			Queue:      Deferred,
			SizeBytes:  10,
			Arrival:    ago(7 * time.Minute),
			Sender:     NullSender,
			Recipients: []Recipient{{"c@example.com", refused}},
		},
		{
			Queue:      Deferred,
			SizeBytes:  100,
			Arrival:    time.Now().Add(time.Hour),
			Sender:     "root@mail.example.net",
			Recipients: []Recipient{{"d", ""}},
		},
		{
			Queue:      Hold,
			SizeBytes:  1000,
			Arrival:    ago(100 * time.Hour),
			Sender:     "root@mail.example.net",
			Recipients: []Recipient{{"e@example.com", refused}},
		},
		{Queue: Active, SizeBytes: 10000, Sender: "x@MAIL.example.net"},
	}
}

func TestSummarizeFiltered(t *testing.T) {
	tests := []struct {
		name                     string
		filter                   Filter
		emails, size, recipients int64
	}{
		{name: "everything", emails: 5, size: 11111, recipients: 6},
		{
			name:       "sender",
			filter:     Filter{Senders: patterns(t, "@mail\\.example\\.net$")},
			emails:     3,
			size:       11100,
			recipients: 2,
		},
		{
			name:       "the empty sender",
			filter:     Filter{Senders: patterns(t, "^MAILER-DAEMON$")},
			emails:     1,
			size:       10,
			recipients: 1,
		},
		{
			name:       "not what the newsletter sends",
			filter:     Filter{Senders: patterns(t, "!^news@")},
			emails:     4,
			size:       11110,
			recipients: 3,
		},
		{name: "recipient", filter: Filter{Recipients: patterns(t, "@example\\.com$")}, emails: 3, size: 1011, recipients: 4},
		{
			name:       "not a recipient",
			filter:     Filter{Recipients: patterns(t, "!@example\\.com$")},
			emails:     2,
			size:       101,
			recipients: 2,
		},
		{name: "reason", filter: Filter{Reasons: patterns(t, "refused$")}, emails: 3, size: 1011, recipients: 4},
		{name: "no reason", filter: Filter{Reasons: patterns(t, "^$")}, emails: 1, size: 100, recipients: 1},
		{
			name:   "recipient and reason of one recipient",
			filter: Filter{Recipients: patterns(t, "@example.org"), Reasons: patterns(t, "refused")},
			emails: 0,
		},
		{name: "older", filter: Filter{OlderThan: time.Hour}, emails: 2, size: 1001, recipients: 4},
		{
			name:       "mail from the future is not older than anything",
			filter:     Filter{OlderThan: time.Second},
			emails:     3,
			size:       1011,
			recipients: 5,
		},
		{
			name: "all of them",
			filter: Filter{
				Queues:     []Name{Deferred},
				Senders:    patterns(t, "!^news@"),
				Recipients: patterns(t, "example.com"),
				OlderThan:  time.Minute,
			},
			emails:     1,
			size:       10,
			recipients: 1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Summarize(t.Context(), messages{list: stuckQueue()}, Query{Filter: tt.filter})
			if err != nil {
				t.Fatal(err)
			}
			got := []int64{s.Total.Messages, s.Total.SizeBytes, s.Total.Recipients}
			if diff := cmp.Diff([]int64{tt.emails, tt.size, tt.recipients}, got); diff != "" {
				t.Errorf("emails, size, recipients (-want +got):\n%s", diff)
			}
			if s.Visited != 5 {
				t.Errorf("visited %d, want 5", s.Visited)
			}
		})
	}
}

func TestOlderThanAdmitsItsVeryAge(t *testing.T) {
	now := time.Now()
	f := Filter{OlderThan: time.Hour}
	for age, want := range map[time.Duration]bool{time.Hour - 1: false, time.Hour: true, time.Hour + 1: true} {
		if got := f.admits(&Message{Queue: Hold, Arrival: now.Add(-age)}, now); got != want {
			t.Errorf("%v: %v, want %v", age, got, want)
		}
	}
}

func TestSummarizeRefusesUnknownAges(t *testing.T) {
	text := messages{list: stuckQueue(), facts: Facts{NoArrivalTimes: true}}
	if _, err := Summarize(t.Context(), text,
		Query{Filter: Filter{OlderThan: time.Hour}}); !errors.Is(err, ErrNoArrivalTimes) {
		t.Errorf("got %v, want %v", err, ErrNoArrivalTimes)
	}
}

// depthOf is a source that remembers how deep it was told to read.
type depthOf struct {
	messages
	depth *Depth
}

func (d depthOf) Read(_ context.Context, depth Depth, _ func(*Message)) (Facts, error) {
	*d.depth = depth
	return Facts{}, nil
}

func TestReasonsAreReadOnlyWhereTheyMatter(t *testing.T) {
	tests := []struct {
		name  string
		query Query
		want  Depth
	}{
		{"totals", Query{}, Envelopes},
		{
			"by sender, recipient and age",
			Query{Filter: Filter{Senders: patterns(t, "a"), Recipients: patterns(t, "b"), OlderThan: 1}},
			Envelopes,
		},
		{"by reason", Query{Filter: Filter{Reasons: patterns(t, "a")}}, WithReasons},
		{"reasons", Query{Reasons: true}, WithReasons},
		{"breakdown", Query{Breakdown: true}, WithReasons},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got Depth
			if _, err := Summarize(t.Context(), depthOf{depth: &got}, tt.query); err != nil || got != tt.want {
				t.Errorf("depth %d, %v; want %d", got, err, tt.want)
			}
		})
	}
}

// Logins and clients are known to the source that sees the queue files, and to no other.
func TestSummarizeLoginsAndClients(t *testing.T) {
	source := messages{facts: Facts{KnowsClients: true}, list: []Message{
		{Queue: Active, SizeBytes: 1, Login: "anna", Client: "192.0.2.1"},
		{Queue: Active, SizeBytes: 10, Login: "anna", Client: "192.0.2.2"},
		{Queue: Active, SizeBytes: 100, Login: "hanna", Client: "192.0.2.1"},
		{Queue: Active, SizeBytes: 1000},
	}}
	tests := []struct {
		name   string
		filter Filter
		want   int64 // the sum of the sizes shows which are counted
	}{
		{"a login", Filter{Logins: patterns(t, "=anna")}, 11},
		{"not a login", Filter{Logins: patterns(t, "!=anna")}, 1100},
		{"a client", Filter{Clients: patterns(t, "=192.0.2.1")}, 101},
		{"both", Filter{Logins: patterns(t, "anna"), Clients: patterns(t, "=192.0.2.1")}, 101},
		{"none", Filter{Clients: patterns(t, "^$")}, 1000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if s, err := Summarize(t.Context(), source, Query{Filter: tt.filter}); err != nil || s.Total.SizeBytes != tt.want {
				t.Errorf("%d, %v, want %d", s.Total.SizeBytes, err, tt.want)
			}
			blind := messages{list: source.list}
			if _, err := Summarize(t.Context(), blind, Query{Filter: tt.filter}); !errors.Is(err, ErrNoClients) {
				t.Errorf("a source that does not know them: %v", err)
			}
		})
	}
}
