package queue

import (
	"context"
	"errors"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/units"
)

// messages is a source made of a list.
type messages struct {
	list  []Message
	facts Facts
	err   error
}

func (messages) Name() string { return "test" }

func (m messages) Read(_ context.Context, _ Depth, visit func(*Message)) (Facts, error) {
	for _, message := range m.list {
		visit(&message)
	}
	return m.facts, m.err
}

func recipients(addresses ...string) []Recipient {
	list := make([]Recipient, len(addresses))
	for i, a := range addresses {
		list[i].Address = a
	}
	return list
}

func ago(d time.Duration) time.Time { return time.Now().Add(-d) }

// values returns the known metrics. Ages are in minutes, because the test does not
// choose the time of the reading.
func values(s *Summary) map[string]int64 {
	got := map[string]int64{}
	for _, m := range Select(s.Filter, func(Metric) bool { return true }) {
		if v, known := m.Value(s); known {
			if m.Unit == units.Seconds {
				v /= 60
			}
			got[m.Name] = v
		}
	}
	for _, name := range []string{"arrived_5m", "arrived_1h", "future", FamilyUp} { // they have tests of their own
		delete(got, name)
	}
	return got
}

func testQueue() []Message {
	return []Message{
		{Queue: Active, SizeBytes: 100, Arrival: ago(time.Minute), Recipients: recipients("a@example.org")},
		{
			Queue:      Deferred,
			SizeBytes:  2000,
			Arrival:    ago(time.Hour),
			Recipients: recipients("a@example.org", "b@example.org", "a@example.org"),
		},
		{
			Queue:        Deferred,
			SizeBytes:    3000,
			Arrival:      ago(2 * time.Hour),
			ForcedExpire: true,
			Recipients:   recipients("a@example.org", "a@example.org"),
		},
		{
			Queue:      Hold,
			SizeBytes:  40000,
			Arrival:    ago(50 * time.Hour),
			Recipients: recipients("a@example.org", "b@example.org"),
		},
		{Queue: Incoming, SizeBytes: 5, Arrival: time.Now().Add(time.Hour)},
	}
}

func TestSummarize(t *testing.T) {
	tests := []struct {
		name   string
		source messages
		filter Filter
		want   map[string]int64
	}{
		{
			name: "empty queue",
			want: map[string]int64{
				"emails": 0, "size": 0, "age": 0, "recipients": 0, "forced_expire": 0,
				"active": 0, "active_size": 0, "active_age": 0,
				"deferred": 0, "deferred_size": 0, "deferred_age": 0,
				"hold": 0, "hold_size": 0, "hold_age": 0,
				"incoming": 0, "incoming_size": 0, "incoming_age": 0,
				"maildrop": 0, "maildrop_size": 0, "maildrop_age": 0,
			},
		},
		{
			name:   "every queue",
			source: messages{list: testQueue()},
			want: map[string]int64{
				"emails": 5, "size": 45105, "age": 120, "recipients": 6, "forced_expire": 1,
				"active": 1, "active_size": 100, "active_age": 1,
				"deferred": 2, "deferred_size": 5000, "deferred_age": 120,
				"hold": 1, "hold_size": 40000, "hold_age": 3000,
				"incoming": 1, "incoming_size": 5, "incoming_age": 0, // arrived in the future
				"maildrop": 0, "maildrop_size": 0, "maildrop_age": 0,
			},
		},
		{
			name:   "hold alone",
			source: messages{list: testQueue()},
			filter: Filter{Queues: []Name{Hold}},
			want: map[string]int64{
				"emails": 1, "size": 40000, "recipients": 2, "forced_expire": 0,
				"hold": 1, "hold_size": 40000, "hold_age": 3000,
			},
		},
		{
			name: "text listing",
			source: messages{
				list: []Message{
					{Queue: Active, SizeBytes: 1}, {Queue: Hold, SizeBytes: 2}, {SizeBytes: 4, ForcedExpire: true},
				},
				facts: Facts{Indistinct: []Name{Deferred, Incoming, Maildrop}, NoArrivalTimes: true},
			},
			want: map[string]int64{
				"emails": 3, "size": 7, "recipients": 0, "forced_expire": 1,
				"active": 1, "active_size": 1, "hold": 1, "hold_size": 2,
			},
		},
		{
			name:   "a sum that overflows",
			source: messages{list: []Message{{Queue: Hold, SizeBytes: math.MaxInt64}, {Queue: Hold, SizeBytes: 2}}},
			filter: Filter{Queues: []Name{Hold}},
			want: map[string]int64{
				"emails": 2, "size": math.MaxInt64, "recipients": 0, "forced_expire": 0,
				"hold": 2, "hold_size": math.MaxInt64, "hold_age": 0,
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Summarize(t.Context(), tt.source, Query{Filter: tt.filter})
			if err != nil || s.Partial {
				t.Fatalf("error %v, partial %v", err, s.Partial)
			}
			if diff := cmp.Diff(tt.want, values(s)); diff != "" {
				t.Errorf("metrics (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSummarizeFailure(t *testing.T) {
	broken := errors.New("broken")
	s, err := Summarize(t.Context(), messages{list: testQueue(), err: broken}, Query{})
	if !errors.Is(err, broken) || !s.Partial || s.Total.Messages != 5 {
		t.Errorf("got %v, partial %v, %d messages", err, s.Partial, s.Total.Messages)
	}
}

func TestSummarizeRefusesAFilterThatTheSourceCannotApply(t *testing.T) {
	text := messages{facts: Facts{Indistinct: []Name{Deferred, Incoming, Maildrop}, NoArrivalTimes: true}}
	var blind *IndistinctError
	if _, err := Summarize(t.Context(), text, Query{Filter: Filter{Queues: []Name{Deferred}}}); !errors.As(err, &blind) {
		t.Errorf("deferred alone: %v", err)
	}
	if _, err := Summarize(t.Context(), text, Query{Filter: Filter{Queues: []Name{Active, Hold}}}); err != nil {
		t.Errorf("active and hold: %v", err)
	}
	if _, err := Summarize(t.Context(), text, Query{
		Filter: Filter{Queues: []Name{Active, Deferred, Incoming, Maildrop}},
	}); err != nil {
		t.Errorf("all but hold: %v", err)
	}
}

func TestDistinctRecipients(t *testing.T) {
	var d distinctRecipients
	var many []Recipient
	for i := range 3 * forgetAbove {
		many = append(many, Recipient{Address: strconv.Itoa(i % (2 * forgetAbove))})
	}
	if got := d.of(&Message{Recipients: many}); len(got) != 2*forgetAbove {
		t.Errorf("%d distinct of many", len(got))
	}
	listed := []Recipient{{"a", "full"}, {"b", ""}, {"a", ""}, {"c", ""}, {"b", "late"}}
	want := []Recipient{{"a", "full"}, {"b", "late"}, {"c", ""}}
	if diff := cmp.Diff(want, d.of(&Message{Recipients: listed})); diff != "" {
		t.Errorf("after many (-want +got):\n%s", diff)
	}
}

// A message that was not read to its end makes recipients a lower bound, as an unreadable line does.
func TestTruncatedMessage(t *testing.T) {
	source := messages{list: []Message{{Queue: Active, Truncated: true}, {Queue: Active}}, facts: Facts{Unreadable: 2}}
	if s, err := Summarize(t.Context(), source, Query{}); err != nil || s.Unreadable != 3 {
		t.Errorf("%d unreadable, %v", s.Unreadable, err)
	}
}
