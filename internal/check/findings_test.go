package check

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/queue"
)

// broken returns a summary of 100 messages with a breakdown.
func broken(change func(*queue.Breakdown)) *queue.Summary {
	now := time.Unix(1_800_000_000, 0)
	b := &queue.Breakdown{}
	change(b)
	return &queue.Summary{
		Taken: now, AsOf: now, Total: queue.Tally{Messages: 100, Recipients: 100}, Breakdown: b,
		Facts: queue.Facts{KnowsClients: true},
	}
}

func TestFindingsText(t *testing.T) {
	tests := []struct {
		name string
		f    *queue.Findings
		want string
	}{
		{"none", nil, ""},
		{"nothing in common", &queue.Findings{Sample: 10, IsWhole: true}, ""},
		{
			"a login and a problem",
			&queue.Findings{
				Sample: 1000, Sender: &queue.SenderFinding{Kind: queue.OneLogin, Percent: 96},
				Problem: &queue.ProblemFinding{
					NextHop: "*.big.example", Code: "421", Status: "4.7.28", Category: queue.RateLimited, Percent: 45,
				},
			},
			"; about 96% from one login; about 45% *.big.example rate limited (421 4.7.28)",
		},
		{
			"all",
			&queue.Findings{
				IsWhole: true, Sender: &queue.SenderFinding{Kind: queue.OneClient, Percent: 100},
				Problem: &queue.ProblemFinding{NextHop: "relay.example:587", Category: queue.ConnectionRefused, Percent: 100},
			},
			"; all from one client address; all: relay.example:587 connection refused",
		},
		{
			"all of a sample",
			&queue.Findings{
				Sender:  &queue.SenderFinding{Kind: queue.NoSender, Percent: 100},
				Problem: &queue.ProblemFinding{Category: queue.HostNotFound, Percent: 100},
			},
			"; nearly all without a sender: bounces, mostly; nearly all: host not found",
		},
		{
			"a reply without a status, from a hostile host",
			&queue.Findings{Problem: &queue.ProblemFinding{NextHop: "a|b$c", Code: "554", Category: queue.Blocked, Percent: 40}},
			"; about 40% a?b?c blocked (554)",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(findingsText(&queue.Summary{Findings: tt.f})); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestOwnerTable(t *testing.T) {
	distinct := func(n int64) queue.Distinct { return queue.Distinct{Number: n} }
	s := broken(func(b *queue.Breakdown) {
		b.Logins = queue.Owners{Messages: 97, Number: distinct(3), Rows: []queue.Owner{
			{Key: "anna", Messages: 90, Clients: distinct(3), Domains: queue.Distinct{Number: 85, AtLeast: true}},
			{Key: "ben", Messages: 5, Clients: distinct(1), Domains: distinct(1)},
			{Key: "c|$d", Messages: 2},
		}}
		b.Senders = queue.Owners{Messages: 100, Number: distinct(60), MaxUndercount: 0}
		for i := range 20 {
			b.Senders.Rows = append(b.Senders.Rows, queue.Owner{Key: fmt.Sprint(i), Messages: 2})
		}
	})
	want := `emails       whose mail
    90  90%  login anna, 3 clients, at least 85 sender domains
     5   5%  login ben, 1 client, 1 sender domain
     2   2%  login c??d
   100 100%  60 sender domains, none above 2`
	if diff := cmp.Diff(strings.Split(want, "\n"), plain(ownerTable(s))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s = broken(func(b *queue.Breakdown) {
		b.Senders = queue.Owners{Messages: 100, Number: queue.Distinct{Number: 30}, MaxUndercount: 3}
		for i := range 8 {
			b.Senders.Rows = append(b.Senders.Rows, queue.Owner{Key: fmt.Sprintf("d%d.example", i), Messages: 10})
		}
	})
	s.KnowsClients = false
	got := plain(ownerTable(s))
	for _, line := range []string{
		"    10  10%  sender domain d0.example, at least",
		"    50  50%  25 other sender domains",
		"logins and clients: run this as root, or judge a snapshot with --breakdown",
	} {
		if !strings.Contains(strings.Join(got, "\n"), line) {
			t.Errorf("no %q in %q", line, got)
		}
	}
}

func TestProblemTable(t *testing.T) {
	s := broken(func(b *queue.Breakdown) {
		b.Problems = []queue.Problem{
			{
				NextHop: "*.big.example", Hosts: 37, Code: "421", Status: "4.7.28", Category: queue.RateLimited,
				Text: "Too fast: *", Messages: 60, Recipients: 6_000_000, Domains: queue.Distinct{Number: 199, AtLeast: true},
				Oldest: time.Unix(1_800_000_000-5340, 0), Newest: time.Unix(1_800_000_000-68, 0),
			},
			{
				NextHop: "mx.down.example:25", Hosts: 1, Category: queue.ConnectionRefused, Text: "Connection refused",
				Messages: 20, Recipients: 20, Domains: queue.Distinct{Number: 1}, Only: "bob@down.example", Held: true,
			},
			{Category: queue.Unrecorded, Messages: 1, Recipients: 1, Only: "x@y.example"},
		}
	})
	want := `emails  rcpts domains since    newest   why
    60  6000k    199+ 1h 29m   1m 8s    *.big.example (37 hosts) 421 4.7.28 rate limited, ` +
		`clears when less is sent: Too fast: *
    20     20       1 -        -        on hold, before that: mx.down.example:25 connection refused, ` +
		`is the service there running, all for bob@down.example
     1      1       0 -        -        no reason recorded, all for x@y.example`
	if diff := cmp.Diff(strings.Split(want, "\n"), plain(problemTable(s))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.Breakdown.MoreProblems = true
	if got := plain(problemTable(s)); got[len(got)-1] != "and other problems" {
		t.Errorf("%q", got)
	}
	for range 20 {
		s.Breakdown.Problems = append(s.Breakdown.Problems, queue.Problem{Category: queue.Other, Messages: 1})
	}
	if got := plain(problemTable(s)); got[len(got)-1] != "and 11 other problems" {
		t.Errorf("%q", got)
	}
}

// What is to be typed is safe in a shell, or is not there.
func TestActLines(t *testing.T) {
	tests := []struct {
		name, login, dir string
		messages         int64
		want             string
	}{
		{
			"a login", "anna.schmidt@isp.example", "", 96,
			"act          postfix_queue_emit -f ids --login =anna.schmidt@isp.example   " +
				"(piped into postsuper -h - it holds them; then lock the account)",
		},
		{
			"an instance", "anna", "/etc/postfix-out", 96,
			"act          postfix_queue_emit -f ids -d /etc/postfix-out --login =anna   " +
				"(piped into postsuper -c /etc/postfix-out -h - it holds them; then lock the account)",
		},
		{
			"the longest", strings.Repeat("a", 128), "", 96, "act          postfix_queue_emit -f ids --login =" +
				strings.Repeat("a", 128) + "   (piped into postsuper -h - it holds them; then lock the account)",
		},
		{"too few", "anna", "", 39, ""},
	}
	const refused = "act          login cannot be typed safely: postfix_queue_emit -f json --breakdown has it"
	for _, login := range []string{
		"a b", "a;id", "$(id)", "`id`", "a|b", "a&b", "-rf", "a'b", `a"b`, "a\nb", "~", "é", "a>b", "a*", "a!b", "",
		strings.Repeat("a", 129),
	} {
		tests = append(tests, struct {
			name, login, dir string
			messages         int64
			want             string
		}{login, login, "", 96, refused})
	}
	tests = append(tests, struct {
		name, login, dir string
		messages         int64
		want             string
	}{"a directory", "anna", "/etc/post fix", 96, refused})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := broken(func(b *queue.Breakdown) {
				b.Logins = queue.Owners{Messages: tt.messages, Rows: []queue.Owner{{Key: tt.login, Messages: tt.messages}}}
			})
			got := actLines(queue.Reading{Summary: s, Instance: queue.Instance{ConfigDir: tt.dir}})
			if text := strings.Join(plain(got), "\n"); text != tt.want {
				t.Errorf("got  %s\nwant %s", text, tt.want)
			}
		})
	}
}

// The command goes away when it has been given, and only then: others may have mail on hold, too.
func TestMailThatIsHeldAlready(t *testing.T) {
	for _, tt := range []struct {
		name              string
		total, held, mine int64
		want              bool
	}{
		{"none", 100, 0, 90, false},
		{"of the sender", 3200, 3000, 3000, true},
		{"of others, less than the sender has", 200, 60, 120, false},
		{"of others, more than the sender has", 110, 60, 50, false},
		{"all", 100, 100, 60, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &queue.Summary{
				Total: queue.Tally{Messages: tt.total}, Queues: map[queue.Name]*queue.Tally{queue.Hold: {Messages: tt.held}},
			}
			if got := mostlyHeld(s, tt.mine); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// Postfix's programs act on their own queue, and not on a directory that was named.
func TestNoCommands(t *testing.T) {
	s := broken(func(b *queue.Breakdown) {
		b.Logins = queue.Owners{Messages: 96, Rows: []queue.Owner{{Key: "anna", Messages: 96}}}
	})
	for _, noCommands := range []bool{false, true} {
		o := Options{Crit: rules(t, "10"), Detail: DetailBreakdown, NoCommands: noCommands}
		text := strings.Join(plain(Judge([]queue.Reading{{Summary: s}}, o).Lines), "\n")
		if strings.Contains(text, "\nact ") == noCommands {
			t.Errorf("%t: %s", noCommands, text)
		}
	}
}

func TestProgressLines(t *testing.T) {
	s := broken(func(b *queue.Breakdown) {
		b.NextTries = queue.Span{First: time.Unix(1_800_000_000-60, 0), Last: time.Unix(1_800_000_000+3720, 0)}
		b.Largest = queue.LargeMessage{ID: "4Q1", Sender: "news@isp.example", Waiting: 3000, Done: 2000}
	})
	want := []string{
		"next try     now for the first, in 1h 2m for the last",
		"largest      1 email of news@isp.example (4Q1): 2000 of 5000 delivered",
	}
	if diff := cmp.Diff(want, plain(progressLines(s))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.Breakdown.Largest.Done, s.Breakdown.NextTries = 0, queue.Span{}
	want = []string{"largest      1 email of news@isp.example (4Q1) waits for 3000 recipients"}
	if diff := cmp.Diff(want, plain(progressLines(s))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Domains that are too long for their column stay apart.
func TestLongDomains(t *testing.T) {
	var rows []queue.RankingRow
	for i := range 12 {
		key := fmt.Sprintf("a%s%d%s.hosting-company.example.com", strings.Repeat("x", 60), i, strings.Repeat("y", 60))
		rows = append(rows, queue.RankingRow{Key: key, Count: 10, ByAge: [queue.AgeColumns]int64{10}})
	}
	s := broken(func(b *queue.Breakdown) {
		b.Recipients = queue.Ranking{Rows: rows, Total: queue.RankingRow{Count: 120, ByAge: [queue.AgeColumns]int64{120}}}
	})
	seen := map[string]bool{}
	for _, line := range plain(ageLines(s)) {
		if seen[line] || len(line) > tableWidth {
			t.Errorf("%q is there twice, or too long", line)
		}
		seen[line] = true
	}
	s.Breakdown.Recipients.Total.Count, s.Breakdown.Domains = 1000, queue.Distinct{Number: 300}
	want := []string{"1000 recipients in 300 domains, none above 10"}
	if diff := cmp.Diff(want, plain(ageLines(s))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
