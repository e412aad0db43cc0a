package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// incident is a queue of n messages of which a share has one login and one problem.
func incident(n, percent int) []*Message {
	list := make([]*Message, n)
	for i := range list {
		list[i] = &Message{
			Queue: Deferred, ID: fmt.Sprintf("4Q%X", 7_000_000+i), Sender: fmt.Sprintf("u@s%d.example", i),
			Login: fmt.Sprintf("login%d", i), Client: fmt.Sprintf("192.0.2.%d", i),
			Recipients: []Recipient{{
				"a@b.example", fmt.Sprintf("connect to mx.d%d.example[192.0.2.9]:25: Connection refused", i),
			}},
		}
		if i*100 < n*percent {
			list[i].Login = "anna"
			list[i].Recipients[0].Reason = fmt.Sprintf("host mx%d.p.example[192.0.2.1] said: 421 4.7.28 Too fast: %d", i%2, i)
		}
	}
	return list
}

func findingsOf(t *testing.T, source Source) *Findings {
	t.Helper()
	s, err := Summarize(t.Context(), source, Query{Findings: func(*Summary) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	return s.Findings
}

// shuffled is a source of messages in any order.
type shuffled []*Message

func (shuffled) Name() string { return "test" }

func (s shuffled) Read(_ context.Context, _ Depth, visit func(*Message)) (Facts, error) {
	for _, i := range rand.Perm(len(s)) {
		m := *s[i]
		visit(&m)
	}
	return Facts{}, nil
}

func TestFindings(t *testing.T) {
	got := findingsOf(t, shuffled(incident(1000, 45)))
	want := &Findings{
		Sample: 1000, IsWhole: true, Sender: &SenderFinding{OneLogin, 45},
		Problem: &ProblemFinding{NextHop: "*.p.example", Code: "421", Status: "4.7.28", Category: RateLimited, Percent: 45},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := findingsOf(t, shuffled(incident(1000, 39))); got.Sender != nil || got.Problem != nil {
		t.Errorf("%+v", got)
	}
	if got := findingsOf(t, shuffled(incident(leastFindings-1, 100))); got != nil {
		t.Errorf("%+v", got)
	}
}

// A sample gives one queue one answer, within 5 points of the truth.
func TestFindingsOfASample(t *testing.T) {
	for _, percent := range []int{45, 60, 96, 100} {
		list := incident(20_000, percent)
		first := findingsOf(t, shuffled(list))
		if first.IsWhole || first.Sample != sampleSize || first.Sender == nil || first.Problem == nil {
			t.Fatalf("%d%%: %+v", percent, first)
		}
		for _, got := range []int64{first.Sender.Percent, first.Problem.Percent} {
			if off := got - int64(percent); off < -5 || off > 5 {
				t.Errorf("%d%%, want %d%%", got, percent)
			}
		}
		if diff := cmp.Diff(first, findingsOf(t, shuffled(list))); diff != "" {
			t.Errorf("another answer (-first +second):\n%s", diff)
		}
	}
}

func TestSenderFindings(t *testing.T) {
	tests := []struct {
		name string
		m    Message
		want SenderKind // empty: none
	}{
		{"a login", Message{Login: "anna", Client: "192.0.2.1", Sender: "a@a.example"}, OneLogin},
		{"a client", Message{Client: "192.0.2.1", Sender: "a@a.example"}, OneClient},
		{"this machine", Message{Client: "::1", Sender: "a@a.example"}, OneSenderDomain},
		{"a domain", Message{Sender: "a@a.example"}, OneSenderDomain},
		{"the one domain that there is", Message{Sender: "a@b.example"}, ""},
		{"bounces", Message{Client: "192.0.2.1", Sender: NullSender}, NoSender},
	}
	for _, tt := range tests {
		list := make([]*Message, 10)
		for i := range list {
			m := tt.m
			if i == 0 {
				m = Message{Sender: "b@b.example"}
			}
			m.Queue, m.ID, m.Recipients = Active, fmt.Sprint(i), []Recipient{{Address: "a@c.example"}}
			list[i] = &m
		}
		var want *SenderFinding
		if tt.want != "" {
			want = &SenderFinding{tt.want, 90}
		}
		if got := findingsOf(t, shuffled(list)); !cmp.Equal(got.Sender, want) || got.Problem != nil {
			t.Errorf("%s: %+v", tt.name, got.Sender)
		}
	}
}

// filesWithLogs is a live source that does not read deferral reasons with the messages.
type filesWithLogs struct {
	watched
	reasons map[string]string
	err     error
	asked   *[]string
	hangs   chan struct{} // nil: it does not
}

func (f filesWithLogs) AddReasons(ctx context.Context, messages []*Message) error {
	if _, limited := ctx.Deadline(); !limited {
		return errors.New("there is no time limit")
	}
	if f.hangs != nil {
		<-f.hangs
		return nil
	}
	for _, m := range messages {
		*f.asked = append(*f.asked, m.ID)
		m.AddReason("a@b.example", f.reasons[m.ID])
	}
	return f.err
}

func TestReasonsOfASample(t *testing.T) {
	var asked []string
	files := filesWithLogs{watched: watched{name: SpoolName, first: some(10, Deferred, time.Minute)}, asked: &asked}
	files.first[9].Sender, files.reasons = "b@b.example", map[string]string{}
	for _, m := range files.first[:6] {
		files.reasons[m.ID] = "connect to mx.b.example[192.0.2.1]:25: Connection refused"
	}
	want := &ProblemFinding{NextHop: "mx.b.example:25", Category: ConnectionRefused, Percent: 60}
	if got := findingsOf(t, files).Problem; !cmp.Equal(got, want) || len(asked) != 10 {
		t.Errorf("%+v, %d messages", got, len(asked))
	}
	files.hangs = make(chan struct{})
	defer close(files.hangs)
	if got := findingsOf(t, files); got.Problem != nil || got.Sender == nil {
		t.Errorf("the disk hangs, but %+v", got)
	}
	files.hangs = nil
	files.err = context.DeadlineExceeded
	if got := findingsOf(t, files); got.Problem != nil || got.Sender == nil {
		t.Errorf("there was no time, but %+v", got)
	}
}

func TestExcerptIsBounded(t *testing.T) {
	m := &Message{Queue: Deferred, ID: "A"}
	for i := range 1000 {
		reason := inLetters(i) + string(make([]byte, 5000))
		m.Recipients = append(m.Recipients, Recipient{Address: "a@b.example", Reason: reason})
	}
	got := excerpt(m, m.Recipients)
	if n := len(got.Recipients); n != maxSampledReasons {
		t.Errorf("%d recipients", n)
	}
	if slices.ContainsFunc(got.Recipients, func(r Recipient) bool { return len(r.Reason) > maxSampledReason }) {
		t.Error("a reason is too long")
	}
}

func TestTops(t *testing.T) {
	list := incident(100, 30)
	list[0].Recipients = append(list[0].Recipients, Recipient{Address: "x@b.example"}, Recipient{Address: "x@c.example"})
	s, err := Summarize(t.Context(), shuffled(list), Query{Tops: true})
	if err != nil {
		t.Fatal(err)
	}
	want := &Tops{Sender: Top{Messages: 1}, Domain: Top{Messages: 100}}
	if diff := cmp.Diff(want, s.Tops); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	tops := newTopCounter()
	for _, m := range list {
		tops.add(m, m.Recipients)
	}
	if got := tops.tops(Facts{KnowsClients: true}); got.Login.Messages != 30 || got.Client.Messages != 1 {
		t.Errorf("login %+v, client %+v", got.Login, got.Client)
	}
	for i := range 5000 {
		tops.add(&Message{Login: inLetters(i)}, nil)
	}
	got := tops.tops(Facts{KnowsClients: true}).Login
	if truth := int64(30); got.MaxUndercount == 0 || got.Messages > truth || got.Messages+got.MaxUndercount < truth {
		t.Errorf("%+v, want %d", got, truth)
	}
}
