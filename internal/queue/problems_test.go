package queue

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// deferred returns messages to one recipient each, one for each reason.
func deferred(recipient string, reasons ...string) []*Message {
	var list []*Message
	for i, reason := range reasons {
		list = append(list, &Message{
			Queue: Deferred, ID: fmt.Sprint(i), Sender: "a@example.org",
			Recipients: []Recipient{{Address: recipient, Reason: reason}},
		})
	}
	return list
}

func problemsOf(t *testing.T, list []*Message) []Problem {
	t.Helper()
	p := newProblemCounter(newDistinctCounters())
	for _, m := range list {
		p.count(m, m.Recipients)
	}
	problems, _ := p.problems()
	return problems
}

// words returns what makes a problem another one.
func (p Problem) words() string {
	return strings.Join([]string{p.NextHop, p.Code, p.Status, p.Text}, "; ")
}

func TestProblemOfReason(t *testing.T) {
	tests := []struct{ name, reason, want string }{
		{
			"a reply",
			"host mx.a.example[192.0.2.1] said: 450 4.2.0 <b@a.example>: Recipient address rejected: Greylisted " +
				"(in reply to RCPT TO command)",
			"mx.a.example; 450; 4.2.0; *: Recipient address rejected: Greylisted",
		},
		{
			"a reply of several lines",
			"host mx.a.example[192.0.2.1] said: 421-4.7.0 [203.0.113.25 15] Our system has detected 421-4.7.0 low " +
				"reputation. 421 4.7.0 See https://a.example/help/?q=1 5si1234567plb.12 - gsmtp",
			"mx.a.example; 421; 4.7.0; [* *] Our system has detected low reputation. See https://a.example/help/?* * - gsmtp",
		},
		{
			"a reply without a status",
			"host mx.a.example[192.0.2.1] refused to talk to me: 554 IP=203.0.113.25 - A problem occurred. " +
				"(Ask your postmaster)",
			"mx.a.example; 554; ; IP=* - A problem occurred. (Ask your postmaster)",
		},
		{
			"a refusal of TLS",
			"TLS is required, but host mx.a.example[192.0.2.1] refused to start TLS: 454 4.7.0 TLS not available",
			"mx.a.example; 454; 4.7.0; TLS not available",
		},
		{"a reply without a code", "host mx.a.example[192.0.2.1] said: go away", "mx.a.example; ; ; go away"},
		{"a port", "connect to mx.a.example[192.0.2.1]:25: Connection refused", "mx.a.example:25; ; ; Connection refused"},
		{"IPv6", "connect to mx.a.example[2001:db8::1]:25: No route to host", "mx.a.example:25; ; ; No route to host"},
		{
			"an address",
			"connect to 192.0.2.1[192.0.2.1]:10024: Connection refused",
			"192.0.2.1:10024; ; ; Connection refused",
		},
		{
			"a socket",
			"connect to me.example[private/dovecot-lmtp]: No such file or directory",
			"private/dovecot-lmtp; ; ; No such file or directory",
		},
		{
			"a suspended delivery",
			strings.Repeat("delivery temporarily suspended: ", 50) + "connect to mx.a.example[192.0.2.1]:25: Connection refused",
			"mx.a.example:25; ; ; Connection refused",
		},
		{
			"a name that is not found",
			"Host or domain name not found. Name service error for name=mx.a.example type=AAAA: Host not found, try again",
			"mx.a.example; ; ; type=AAAA: Host not found, try again",
		},
		{
			"a connection that was lost",
			"lost connection with mx.a.example[192.0.2.1] while sending RCPT TO",
			"mx.a.example; ; ; lost connection with * while sending RCPT TO",
		},
		{"no host", "Server certificate not verified", "; ; ; Server certificate not verified"},
		{"the recipient's domain", "mail for a.example loops back to myself", "; ; ; mail for * loops back to myself"},
		{"a bracket that is no host", "bad command [x y] in master.cf", "; ; ; bad command [x y] in master.cf"},
		{"an open bracket", "x mx.a.example[192.0.2.1", "; ; ; x *"},
		{"nothing but punctuation", "<> ... ()", "; ; ; <> ... ()"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := problemsOf(t, deferred("b@a.example", tt.reason))
			if len(got) != 1 || got[0].words() != tt.want {
				t.Errorf("got  %+v\nwant %s", got, tt.want)
			}
		})
	}
}

func refused(host string, port int) string {
	return fmt.Sprintf("connect to %s[192.0.2.1]:%d: Connection refused", host, port)
}

// Messages have one problem if nothing but the variable parts of their reasons differs.
func TestOneProblem(t *testing.T) {
	tests := map[string][2]string{
		"session": {
			"host a.b.example[192.0.2.1] said: 421 4.7.28 Too fast, 5si1234567plb.12 - gsmtp",
			"host a.b.example[192.0.2.2] said: 421 4.7.28 Too fast, 7aa7654321xyz.19 - gsmtp",
		},
		"wording": {
			"host a.b.example[192.0.2.1] said: 450 4.2.0 Greylisted for 300 seconds",
			"host a.b.example[192.0.2.1] said: 450 4.2.0 Greylisted, come back later",
		},
		"hosts of one domain": {
			"host mx1.b.example[192.0.2.1] said: 421 4.7.28 unusual rate",
			"host mx2.b.example[192.0.2.2] said: 421 4.7.28 unusual rate",
		},
		"names that are not found": {
			"Host or domain name not found. Name service error for name=a.example type=MX: Host not found, try again",
			"Host or domain name not found. Name service error for name=b.example type=MX: Host not found, try again",
		},
		"suspended": {
			"connect to mx.b.example[192.0.2.1]:25: Connection refused",
			"delivery temporarily suspended: connect to mx.b.example[192.0.2.1]:25: Connection refused",
		},
	}
	for name, reasons := range tests {
		if got := problemsOf(t, deferred("b@a.example", reasons[:]...)); len(got) != 1 || got[0].Messages != 2 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	others := map[string][2]string{
		"codes": {
			"host a.b.example[192.0.2.1] said: 421 4.7.0 wait",
			"host a.b.example[192.0.2.1] said: 450 4.7.0 wait",
		},
		"categories": {
			"host a.b.example[192.0.2.1] said: 450 4.7.1 Greylisted",
			"host a.b.example[192.0.2.1] said: 450 4.7.1 Throttled",
		},
		"ports":         {refused("a.b.example", 25), refused("a.b.example", 587)},
		"own words":     {"Server certificate not verified", "Cannot start TLS: handshake failure"},
		"domains":       {refused("a.b.example", 25), refused("a.c.example", 25)},
		"below a label": {refused("a.b.co.uk", 25), refused("a.c.co.uk", 25)},
	}
	for name, reasons := range others {
		if got := problemsOf(t, deferred("b@a.example", reasons[:]...)); len(got) != 2 && name != "categories" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestProblemCounts(t *testing.T) {
	const (
		refused = "connect to mx1.b.example[192.0.2.1]:25: Connection refused"
		other   = "connect to mx2.b.example[192.0.2.2]:25: Connection refused"
		full    = "host mx.c.example[192.0.2.3] said: 452 4.2.2 Mailbox full"
	)
	begin := time.Unix(1_700_000_000, 0)
	list := []*Message{
		{
			Queue: Deferred, Arrival: begin, Recipients: []Recipient{
				{"a@b.example", refused}, {"b@B.example", other}, {"c@c.example", full}, {"d@d.example", ""},
			},
		},
		{Queue: Deferred, Arrival: begin.Add(time.Hour), Recipients: []Recipient{{"c@c.example", full}}},
		{Queue: Deferred, Arrival: begin, Recipients: []Recipient{{"e@e.example", ""}, {"f@e.example", ""}}},
		{Queue: Hold, Arrival: begin, Recipients: []Recipient{{"c@c.example", full}}},
		{Queue: Hold, Arrival: begin, Recipients: []Recipient{{"g@g.example", ""}}},
		{Queue: Maildrop, Arrival: begin},
		{Queue: Active, Arrival: begin, Recipients: []Recipient{{"g@g.example", ""}}},
		{
			Queue: Deferred, ContentFilter: "smtp-amavis:[127.0.0.1]:10024",
			Recipients: []Recipient{{"a@b.example", "mail transport unavailable"}},
		},
	}
	one := Distinct{Number: 1}
	want := []Problem{
		{
			NextHop: "mx.c.example", Hosts: 1, Code: "452", Status: "4.2.2", Category: MailboxFull, Text: "Mailbox full",
			Messages: 2, Recipients: 2, Domains: one, Only: "c@c.example", Oldest: begin, Newest: begin.Add(time.Hour),
		},
		{
			NextHop: "*.b.example:25", Hosts: 2, Category: ConnectionRefused, Text: "Connection refused",
			Messages: 1, Recipients: 2, Domains: one, Only: "b.example", Oldest: begin, Newest: begin,
		},
		{
			Category: Unrecorded, Messages: 1, Recipients: 2, Domains: one, Only: "e.example", Oldest: begin, Newest: begin,
		},
		{Category: InMaildrop, Messages: 1, Oldest: begin, Newest: begin},
		{
			Category: OnHold, Messages: 1, Recipients: 1, Domains: one, Only: "g@g.example", Oldest: begin, Newest: begin,
		},
		{
			NextHop: "smtp-amavis:[127.0.0.1]:10024", Hosts: 1, Category: Transport, Text: "mail transport unavailable",
			Messages: 1, Recipients: 1, Domains: one, Only: "a@b.example",
		},
		{
			NextHop: "mx.c.example", Hosts: 1, Code: "452", Status: "4.2.2", Category: MailboxFull, Held: true,
			Text: "Mailbox full", Messages: 1, Recipients: 1, Domains: one, Only: "c@c.example", Oldest: begin, Newest: begin,
		},
	}
	byWords := func(list []Problem) map[string]Problem {
		m := map[string]Problem{}
		for _, p := range list {
			m[fmt.Sprint(p.words(), p.Category, p.Held)] = p
		}
		return m
	}
	got := problemsOf(t, list)
	if diff := cmp.Diff(byWords(want), byWords(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got[0].Messages != 2 {
		t.Errorf("the first one is %+v", got[0])
	}
}

func TestGroupOf(t *testing.T) {
	for host, want := range map[string]string{
		"mx1.example.com":        "example.com",
		"MX1.Example.com.":       "example.com",
		"example.com":            "example.com",
		"a.b.mx.example.co.uk":   "example.co.uk",
		"mx.co.uk":               "mx.co.uk",
		"co.uk":                  "co.uk",
		"mx.example.de":          "example.de",
		"localhost":              "localhost",
		"192.0.2.1":              "192.0.2.1",
		"":                       "",
		"a.mail.protection.o.eu": "o.eu",
	} {
		if got := groupOf(host); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
}

// ordinaryPart matches a part of an address that needs no quotes.
var ordinaryPart = regexp.MustCompile(`^\w([\w.-]*\w)?$`)

// FuzzSymptom looks for a variable part of a reason that makes another problem of it.
func FuzzSymptom(f *testing.F) {
	f.Add("host mx.a.example[192.0.2.1] said: 450 4.2.0 <b@a.example>: Greylisted", "b", "a.example")
	f.Add("Name service error for name=", "x", "\xff[")
	f.Add("connect to [[]]:x", "", "")
	f.Fuzz(func(t *testing.T, reason, local, domain string) {
		var reader symptomReader
		s, hop := reader.read(reason, domain, "")
		if len(s.text) > maxProblemText {
			t.Errorf("a text of %d bytes", len(s.text))
		}
		if again, hopAgain := reader.read(reason, domain, ""); again != s || hopAgain != hop {
			t.Errorf("%+v, then %+v", s, again)
		}
		var c classifier
		if want := c.classify(withoutSuspended(reason)); s.category != want {
			t.Errorf("%s, want %s", s.category, want)
		}
		if !ordinaryPart.MatchString(local) || !ordinaryPart.MatchString(domain) {
			return
		}
		mask := func(address string) string {
			return string(appendMasked(nil, []byte("no "+address+" here"), strings.ToLower(domain), "", ""))
		}
		if got, want := mask("<"+local+"@"+domain+">"), mask("<a@b>"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// Two different texts are at least two, even if there is no room left to remember them.
func TestDistinctBeyondTheBudget(t *testing.T) {
	all := newDistinctCounters()
	all.left = 0
	var d distinctCounter
	for _, step := range []struct {
		text string
		want Distinct
	}{
		{"a", Distinct{Number: 1}},
		{"a", Distinct{Number: 1}},
		{"b", Distinct{2, true}},
		{"c", Distinct{2, true}},
	} {
		d.add(all, step.text)
		if got := d.number(); got != step.want {
			t.Errorf("after %s: %v, want %v", step.text, got, step.want)
		}
	}
}
