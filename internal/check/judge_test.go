package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/thresholds"
)

var now = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)

// summary is a queue of 40 deferred, 2 active and 3 held messages.
func summary() *queue.Summary {
	tally := func(messages, sizeBytes int64, age time.Duration) *queue.Tally {
		t := &queue.Tally{Messages: messages, SizeBytes: sizeBytes, Recipients: messages}
		if messages > 0 {
			t.Oldest = now.Add(-age)
		}
		return t
	}
	return &queue.Summary{
		Taken: now, Source: "postqueue",
		Total: *tally(45, 35127296, 76*time.Hour),
		Queues: map[queue.Name]*queue.Tally{
			queue.Active:   tally(2, 2048, 90*time.Second),
			queue.Deferred: tally(40, 35000000, 5*time.Hour+59*time.Minute),
			queue.Hold:     tally(3, 125248, 76*time.Hour),
			queue.Incoming: tally(0, 0, 0),
			queue.Maildrop: tally(0, 0, 0),
		},
	}
}

func empty() *queue.Summary {
	s := &queue.Summary{Taken: now, Source: "postqueue", Queues: map[queue.Name]*queue.Tally{}}
	for _, name := range queue.Names() {
		s.Queues[name] = &queue.Tally{}
	}
	return s
}

// held is what line 1 says of the messages on hold in summary.
const held = "; 3 on hold, oldest 3d 4h"

func rules(t *testing.T, texts string) thresholds.Rules {
	t.Helper()
	var r thresholds.Rules
	for text := range strings.FieldsSeq(texts) {
		if err := r.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestJudgeOneInstance(t *testing.T) {
	whole := func(change func(*queue.Summary)) queue.Reading {
		s := summary()
		if change != nil {
			change(s)
		}
		return queue.Reading{Summary: s, Took: time.Second}
	}
	partial := func(err error) queue.Reading {
		s := summary()
		s.Partial, s.Visited = true, 45
		return queue.Reading{Summary: s, Took: 8 * time.Second, Err: err}
	}
	silent := func(err error) queue.Reading {
		s := empty()
		s.Partial = true
		return queue.Reading{Summary: s, Took: 8 * time.Second, Err: err}
	}
	deadline := fmt.Errorf("reading: %w", context.DeadlineExceeded)
	withSpace := func(freeBytes int64) queue.Reading {
		r := partial(deadline)
		r.Summary.Space = &queue.Space{FreeBytes: freeBytes}
		return r
	}
	const headline = "45 emails, 33.5 MiB, oldest 5h 59m"

	tests := []struct {
		name       string
		reading    queue.Reading
		warn, crit string
		state      State
		line       string
		perf       bool
	}{
		{name: "no thresholds", reading: whole(nil), state: OK, line: headline + held, perf: true},
		{
			name:    "within thresholds",
			reading: whole(nil),
			warn:    "50 size=40M age=1d",
			crit:    "100",
			state:   OK,
			line:    headline + held,
			perf:    true,
		},
		{
			name:    "above a warning",
			reading: whole(nil),
			warn:    "44",
			crit:    "100",
			state:   Warning,
			line:    "45 emails (above 44), 33.5 MiB, oldest 5h 59m" + held,
			perf:    true,
		},
		{
			name:    "above both",
			reading: whole(nil),
			warn:    "20",
			crit:    "30",
			state:   Critical,
			line:    "45 emails (above 30), 33.5 MiB, oldest 5h 59m" + held,
			perf:    true,
		},
		{
			name:    "a critical size stands before a warning count",
			reading: whole(nil),
			warn:    "20",
			crit:    "size=10M",
			state:   Critical,
			line:    "33.5 MiB (above 10 MiB), 45 emails (above 20), oldest 5h 59m" + held,
			perf:    true,
		},
		{
			name:    "too few",
			reading: whole(nil),
			crit:    "100:",
			state:   Critical,
			line:    "45 emails (below 100), 33.5 MiB, oldest 5h 59m" + held,
			perf:    true,
		},
		{
			name:    "inside",
			reading: whole(nil),
			warn:    "@40:50",
			state:   Warning,
			line:    "45 emails (within 40 to 50), 33.5 MiB, oldest 5h 59m" + held,
			perf:    true,
		},
		{
			name:    "inside without end",
			reading: whole(nil),
			warn:    "@40:",
			state:   Warning,
			line:    "45 emails (40 or more), 33.5 MiB, oldest 5h 59m" + held,
			perf:    true,
		},
		{
			name:    "inside without start",
			reading: whole(nil),
			warn:    "@~:45",
			state:   Warning,
			line:    "45 emails (45 or less), 33.5 MiB, oldest 5h 59m" + held,
			perf:    true,
		},
		{
			name:    "exactly",
			reading: whole(nil),
			warn:    "@45:45",
			state:   Warning,
			line:    "45 emails (exactly 45), 33.5 MiB, oldest 5h 59m" + held,
			perf:    true,
		},
		{
			name:    "anything",
			reading: whole(nil),
			warn:    "@~:",
			state:   Warning,
			line:    "45 emails (any value alerts), 33.5 MiB, oldest 5h 59m" + held,
			perf:    true,
		},
		{
			name:    "metrics outside the headline",
			reading: whole(nil),
			warn:    "hold=2 hold_age=1d active_size=1 forced_expire=@0",
			crit:    "deferred=30 recipients=44",
			state:   Critical,
			line: "45 recipients (above 44), 40 deferred (above 30), 0 force-expired (exactly 0), active 2 KiB (above " +
				"1 KiB), 3 hold (above 2), oldest hold 3d 4h (above 1d), " + headline + held,
			perf: true,
		},
		{
			name:    "limits are not rounded",
			reading: whole(nil),
			warn:    "size=34303 age=21539",
			state:   Warning,
			line:    "33.5 MiB (above 34303 KiB), oldest 5h 59m (above 21539s), 45 emails" + held,
			perf:    true,
		},
		{
			name:    "rounding would hide the breach of a size",
			reading: whole(func(s *queue.Summary) { s.Total.SizeBytes = 10<<20 + 1 }),
			warn:    "size=10M",
			state:   Warning,
			line:    "10485761 B (above 10485760 B), 45 emails, oldest 5h 59m" + held,
			perf:    true,
		},
		{
			name:    "rounding would hide the breach of an age",
			reading: whole(func(s *queue.Summary) { s.Queues[queue.Deferred].Oldest = now.Add(-86401 * time.Second) }),
			warn:    "age=1d",
			state:   Warning,
			line:    "oldest 86401 s (above 86400 s), 45 emails, 33.5 MiB" + held,
			perf:    true,
		},
		{
			name:    "a fraction",
			reading: whole(nil),
			warn:    "44.5",
			state:   Warning,
			line:    "45 emails (above 44.5), 33.5 MiB, oldest 5h 59m" + held,
			perf:    true,
		},
		{name: "empty", reading: queue.Reading{Summary: empty()}, warn: "10", state: OK, line: "queue is empty", perf: true},
		{
			name:    "empty, and that is wrong",
			reading: queue.Reading{Summary: empty()},
			crit:    "1:",
			state:   Critical,
			line:    "0 emails (below 1), 0 B, oldest 0s",
			perf:    true,
		},
		{
			name:    "one unreadable line",
			reading: whole(func(s *queue.Summary) { s.Unreadable = 1 }),
			state:   OK,
			line:    headline + ", 1 line unreadable" + held,
			perf:    true,
		},
		{
			name:    "unreadable lines and a breach",
			reading: whole(func(s *queue.Summary) { s.Unreadable = 3 }),
			warn:    "10",
			state:   Warning,
			line:    "45 emails (above 10), 33.5 MiB, oldest 5h 59m, 3 lines unreadable" + held,
			perf:    true,
		},
		{
			name:    "a metric that is not known",
			reading: whole(func(s *queue.Summary) { s.NoArrivalTimes = true }),
			warn:    "10 age=5m",
			state:   Unknown,
			line: "this source does not know age (a text listing does not say: use the output of postqueue -j), 45 " +
				"emails (above 10), 33.5 MiB" + "; 3 on hold",
			perf: true,
		},
		{
			name:    "a metric that the spool alone knows",
			reading: whole(nil),
			crit:    "corrupt=0",
			state:   Unknown,
			line: "this source does not know corrupt (only the source spool sees these files: run this as root or the " +
				"mail owner), " + headline + held,
			perf: true,
		},
		{
			name:    "all on hold",
			reading: whole(func(s *queue.Summary) { s.Total = *s.Queues[queue.Hold] }),
			warn:    "10",
			state:   OK,
			line:    "3 emails, 122 KiB, all on hold" + ", oldest 3d 4h",
			perf:    true,
		},
		{
			name:    "a metric that is not known hides no critical",
			reading: whole(func(s *queue.Summary) { s.NoArrivalTimes = true }),
			warn:    "age=5m",
			crit:    "10",
			state:   Critical,
			line: "45 emails (above 10), this source does not know age (a text listing does not say: use the output " +
				"of postqueue -j), 33.5 MiB" + "; 3 on hold",
			perf: true,
		},

		{
			name: "down",
			reading: queue.Reading{
				Summary: &queue.Summary{Partial: true, Facts: queue.Facts{Down: "refused"}},
				Err:     &queue.DownError{Reason: "refused"},
			},
			state: Critical,
			line:  "mail system is down (refused); start it: postfix start",
		},
		{
			name:    "down, mail waits",
			reading: whole(func(s *queue.Summary) { s.Down = "refused" }),
			warn:    "1000",
			state:   Critical,
			line:    "mail system is down, 45 emails waiting, 33.5 MiB, oldest 5h 59m; start it: postfix start",
		},
		{
			name: "down, of an instance",
			reading: queue.Reading{
				Instance: queue.Instance{ConfigDir: "/etc/postfix-out"},
				Summary:  &queue.Summary{Partial: true, Facts: queue.Facts{Down: "refused"}},
				Err:      &queue.DownError{Reason: "refused"},
			},
			state: Critical,
			line:  "mail system is down (refused); start it: postfix -c /etc/postfix-out start",
		},
		{
			name:    "down, all on hold",
			reading: whole(func(s *queue.Summary) { s.Down, s.Total = "refused", *s.Queues[queue.Hold] }),
			state:   Critical,
			line:    "mail system is down, 3 emails waiting, 122 KiB; start it: postfix start",
		},
		{
			name: "down, only hold looked at",
			reading: whole(func(s *queue.Summary) {
				s.Down, s.Total, s.Filter.Queues = "refused", *s.Queues[queue.Hold], []queue.Name{queue.Hold}
			}),
			state: Critical,
			line:  "mail system is down, 3 emails waiting, 122 KiB (only queue hold); start it: postfix start",
		},
		{
			name: "down, and not read to the end",
			reading: queue.Reading{
				Summary: whole(func(s *queue.Summary) { s.Down, s.Partial = "refused", true }).Summary,
				Err:     deadline,
			},
			state: Critical,
			line:  "mail system is down, at least 45 emails waiting, 33.5 MiB, oldest 5h 59m; start it: postfix start",
		},
		{
			name:    "down, queue is empty",
			reading: queue.Reading{Summary: &queue.Summary{Taken: now, Facts: queue.Facts{Down: "refused"}}},
			state:   Critical,
			line:    "mail system is down, queue is empty; start it: postfix start",
		},
		{
			name: "down, and the queue is broken",
			reading: queue.Reading{
				Summary: &queue.Summary{Partial: true, Facts: queue.Facts{Down: "refused"}},
				Err:     errors.New("no"),
			},
			state: Critical,
			line:  "mail system is down, and the queue could not be read (no); start it: postfix start",
		},
		{
			name: "down, and not read in time",
			reading: queue.Reading{
				Summary: &queue.Summary{Partial: true, Facts: queue.Facts{Down: "refused"}},
				Err:     deadline,
			},
			state: Critical,
			line:  "mail system is down, and the queue could not be read in time; start it: postfix start",
		},
		{
			name:    "another failure",
			reading: silent(errors.New("access denied")),
			crit:    "10",
			state:   Unknown,
			line:    "access denied",
		},
		{
			name:    "another failure in the middle",
			reading: partial(errors.New("broke off")),
			crit:    "100",
			state:   Unknown,
			line:    "broke off; at least 45 emails",
		},
		{
			name:    "another failure in the middle, a critical range is broken all the same",
			reading: partial(errors.New("broke off")),
			crit:    "10",
			state:   Critical,
			line:    "at least 45 emails (above 10), 33.5 MiB, oldest 5h 59m; broke off",
		},
		{
			name:    "another failure in the middle, a warning is not certain",
			reading: partial(errors.New("broke off")),
			warn:    "10",
			crit:    "100",
			state:   Unknown,
			line:    "broke off; at least 45 emails",
		},
		{
			name: "time is up, and no line can be parsed",
			reading: queue.Reading{
				Took:    8 * time.Second,
				Summary: whole(func(s *queue.Summary) { s.Partial, s.Visited, s.Unreadable = true, 45, 45 }).Summary,
				Err:     context.DeadlineExceeded,
			},
			crit:  "10",
			state: Unknown,
			line:  "none of the first 45 lines can be parsed, listing stopped after 8 s",
		},
		{
			name: "no line can be parsed",
			reading: queue.Reading{
				Summary: whole(func(s *queue.Summary) { s.Partial, s.Unreadable = true, 45 }).Summary,
				Err:     errors.New("not a listing"),
			},
			crit:  "10",
			state: Unknown,
			line:  "not a listing",
		},
		{
			name:    "no summary",
			reading: queue.Reading{Err: errors.New("internal error")},
			state:   Unknown,
			line:    "internal error",
		},

		{
			name:    "time is up, critical for certain",
			reading: partial(deadline),
			warn:    "10",
			crit:    "30",
			state:   Critical,
			line:    "at least 45 emails (above 30), 33.5 MiB, oldest 5h 59m, listing stopped after 8 s",
		},
		{
			name:    "time is up, warning for certain, critical open",
			reading: partial(deadline),
			warn:    "10",
			crit:    "100",
			state:   Unknown,
			line:    "at least 45 emails (above 10), 33.5 MiB, oldest 5h 59m, listing stopped after 8 s" + wayOut,
		},
		{
			name:    "time is up, warning for certain, no critical",
			reading: partial(deadline),
			warn:    "10",
			state:   Warning,
			line:    "at least 45 emails (above 10), 33.5 MiB, oldest 5h 59m, listing stopped after 8 s",
		},
		{
			name:    "time is up, warning for certain, critical refuted",
			reading: partial(deadline),
			warn:    "10",
			crit:    "40:",
			state:   Warning,
			line:    "at least 45 emails (above 10), 33.5 MiB, oldest 5h 59m, listing stopped after 8 s",
		},
		{
			name: "time is up, warning for certain, critical not known",
			reading: func() queue.Reading {
				r := partial(deadline)
				r.Summary.NoArrivalTimes = true
				return r
			}(),
			warn:  "10",
			crit:  "age=1h",
			state: Unknown,
			line:  "at least 45 emails (above 10), 33.5 MiB, listing stopped after 8 s" + wayOut,
		},
		{
			name:    "time is up, too little space for certain",
			reading: withSpace(200 << 20),
			warn:    "10",
			crit:    "100 spool_free=1G:",
			state:   Critical,
			line: "200 MiB free for the queue (below 1 GiB); at least 45 emails (above 10), 33.5 MiB, oldest 5h 59m, " +
				"listing stopped after 8 s",
		},
		{
			name:    "time is up, enough space for certain",
			reading: withSpace(200 << 30),
			warn:    "10",
			crit:    "spool_free=1G:",
			state:   Warning,
			line:    "at least 45 emails (above 10), 33.5 MiB, oldest 5h 59m, listing stopped after 8 s",
		},
		{
			name:    "time is up, too few so far",
			reading: partial(deadline),
			crit:    "100:",
			state:   Unknown,
			line:    "at least " + headline + ", listing stopped after 8 s" + wayOut,
		},
		{
			name:    "time is up, no thresholds",
			reading: partial(deadline),
			state:   Unknown,
			line:    "at least " + headline + ", listing stopped after 8 s" + wayOut,
		},
		{
			name:    "time is up, nothing came",
			reading: silent(deadline),
			crit:    "@0",
			state:   Unknown,
			line:    "no answer from postqueue within 8 s" + wayOut,
		},
		{
			name: "a very short time is up",
			reading: func() queue.Reading {
				r := silent(deadline)
				r.Took = 1234 * time.Microsecond
				return r
			}(),
			state: Unknown,
			line:  "no answer from postqueue within 0.001 s" + wayOut,
		},
		{
			name: "time is up, nothing that counts came",
			reading: func() queue.Reading {
				r := silent(deadline)
				r.Summary.Visited, r.Summary.Filter = 9, queue.Filter{Queues: []queue.Name{queue.Hold}}
				return r
			}(),
			crit:  "@0",
			state: Unknown,
			line:  "none of the first 9 emails match, listing stopped after 8 s" + wayOut + " (only queue hold)",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Judge([]queue.Reading{tt.reading}, Options{Warn: rules(t, tt.warn), Crit: rules(t, tt.crit)})
			if got.State != tt.state {
				t.Errorf("state %v, want %v", got.State, tt.state)
			}
			if len(got.Lines) != 1 || string(got.Lines[0]) != tt.line {
				t.Errorf("got  %q\nwant %q", got.Lines, tt.line)
			}
			if (len(got.Perf) > 0) != tt.perf {
				t.Errorf("performance data %v, want any: %v", got.Perf, tt.perf)
			}
		})
	}
}

// A filter is shown as it was typed, but one that comes with a snapshot is text
// from outside.
// Findings take time, so they are looked for only if line 1 may have them: growth is not known yet then.
func TestMayAlert(t *testing.T) {
	for name, tt := range map[string]struct {
		options Options
		partial bool
		want    bool
	}{
		"fine":                   {Options{Warn: rules(t, "100")}, false, false},
		"fine, growth is shown":  {Options{Warn: rules(t, "100"), Memory: Memory{Used: true}}, false, false},
		"above":                  {Options{Warn: rules(t, "10")}, false, true},
		"not read to its end":    {Options{}, true, true},
		"fine, growth may warn":  {Options{Warn: rules(t, "growth=5"), Memory: Memory{Used: true}}, false, true},
		"fine, growth may alert": {Options{Crit: rules(t, "growth=5"), Memory: Memory{Used: true}}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := summary()
			s.Partial = tt.partial
			if got := MayAlert(s, tt.options); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestFilterIsShown(t *testing.T) {
	var senders queue.Patterns
	if err := senders.UnmarshalText([]byte("^a|b$")); err != nil {
		t.Fatal(err)
	}
	filter := queue.Filter{Senders: senders}
	s := summary()
	s.Filter = filter
	for name, tt := range map[string]struct {
		typed queue.Filter
		want  string
	}{
		"typed":           {filter, "45 emails, 33.5 MiB, oldest 5h 59m (sender ^a|b$)" + held},
		"of the snapshot": {queue.Filter{}, "45 emails, 33.5 MiB, oldest 5h 59m (sender ^a?b?)" + held},
	} {
		if got := Judge([]queue.Reading{{Summary: s}}, Options{Filter: tt.typed}).Lines[0]; string(got) != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
}

func TestOneInstanceWithItsName(t *testing.T) {
	got := Judge([]queue.Reading{
		{Instance: queue.Instance{Name: "MX1"}, Summary: summary()},
	}, Options{LabelInstances: true})
	if text := string(got.Lines[0]); text != "MX1: 45 emails, 33.5 MiB, oldest 5h 59m"+held {
		t.Errorf("line 1 %q", text)
	}
	for _, p := range got.Perf {
		if !strings.HasPrefix(p.Label, "mx1_") {
			t.Errorf("label %s", p.Label)
		}
	}
}

func TestJudgeSeveralInstances(t *testing.T) {
	readings := func() []queue.Reading {
		down := empty()
		down.Down = "refused"
		return []queue.Reading{
			{Instance: queue.Instance{Name: "postfix"}, Summary: summary()},
			{Instance: queue.Instance{Name: "Postfix-Out"}, Summary: empty()},
			{Instance: queue.Instance{Name: "third"}, Summary: down},
		}
	}
	t.Run("one is down", func(t *testing.T) {
		got := Judge(readings(), Options{})
		if got.State != Critical || string(got.Lines[0]) != "third: mail system is down, queue is empty; start it: "+
			"postfix start; 2 other instances are better" {
			t.Errorf("%v: %q", got.State, got.Lines)
		}
		labels := map[string]bool{}
		for _, p := range got.Perf {
			labels[p.Label] = true
		}
		if !labels["postfix_emails"] || !labels["postfix_out_age"] || labels["third_emails"] || len(labels) != 6 {
			t.Errorf("labels %v", labels)
		}
	})
	t.Run("one could not be read", func(t *testing.T) {
		list := append(readings(), queue.Reading{Instance: queue.Instance{Name: "fourth"}, Err: errors.New("access denied")})
		got := Judge(list, Options{Detail: DetailQueues})
		if got.State != Critical || !strings.HasSuffix(string(got.Lines[0]), "; 1 other instance is unknown, -v says "+
			"why; 2 other instances are better") {
			t.Errorf("%v: %q", got.State, got.Lines)
		}
		want := []queue.Text{
			"instance fourth: UNKNOWN",
			"error: access denied",
			"instance postfix: OK - 45 emails, 33.5 MiB, oldest 5h 59m; 3 on hold, oldest 3d 4h",
			"instance Postfix-Out: OK - queue is empty",
		}
		if !slices.Equal(got.Lines[len(got.Lines)-4:], want) {
			t.Errorf("%q, want %q at the end", got.Lines, want)
		}
	})
	t.Run("one label for two", func(t *testing.T) {
		list := readings()[:2]
		list[0].Instance.Name, list[1].Instance.Name = "mx", "mx-hold"
		got := Judge(list, Options{Crit: rules(t, "1"), Perfdata: queue.MetricPatterns{"*"}})
		if got.State != Unknown || len(got.Perf) != 0 ||
			!strings.HasPrefix(string(got.Lines[0]), "the instances mx and mx-hold would both have mx_hold_size in their "+
				"performance data") {
			t.Errorf("%v: %q, %v", got.State, got.Lines, got.Perf)
		}
	})
	t.Run("all are well", func(t *testing.T) {
		got := Judge(readings()[:2], Options{})
		if got.State != OK || string(got.Lines[0]) != "postfix: 45 emails, 33.5 MiB, oldest 5h 59m"+held+
			"; Postfix-Out: queue is empty" {
			t.Errorf("%v: %q", got.State, got.Lines)
		}
	})
}

func TestPerfdata(t *testing.T) {
	got := Judge([]queue.Reading{{Summary: summary()}}, Options{
		Warn: rules(t, "30 size=@10M:1G age=~:5h"),
		Crit: rules(t, "emails=20:50"),
	})
	var out bytes.Buffer
	if code := got.Write(&out); code != 2 && code != 1 {
		t.Errorf("exit code %d", code)
	}
	_, perf, _ := strings.Cut(strings.TrimSpace(out.String()), " | ")
	want := "active=2;;;0 active_age=90s;;;0 active_size=2048B;;;0 age=21540s;~:18000;;0 " +
		"deferred=40;;;0 deferred_age=21540s;;;0 deferred_size=35000000B;;;0 emails=45;30;20:50;0 forced_expire=0;;;0 " +
		"hold=3;;;0 hold_age=273600s;;;0 hold_size=125248B;;;0 incoming=0;;;0 incoming_age=0s;;;0 incoming_size=0B;;;0 " +
		"maildrop=0;;;0 maildrop_age=0s;;;0 maildrop_size=0B;;;0 recipients=45;;;0 " +
		"size=35127296B;@10485760:1073741824;;0"
	if perf != want {
		t.Errorf("got  %s\nwant %s", perf, want)
	}
}

// Of one instance everything is shown, of several what matters most, unless the user says otherwise.
func TestPerfdataIsChosen(t *testing.T) {
	several := []queue.Reading{
		{Instance: queue.Instance{Name: "a"}, Summary: summary()},
		{Instance: queue.Instance{Name: "b"}, Summary: summary()},
	}
	named := func(patterns ...queue.MetricPattern) queue.MetricPatterns { return patterns }
	tests := []struct {
		name     string
		readings []queue.Reading
		options  Options
		want     string
	}{
		{"several", several, Options{}, "a_emails a_size a_age b_emails b_size b_age"},
		{"one with its name", several[:1], Options{LabelInstances: true, Perfdata: named("hold")}, "a_hold"},
		{
			"several and a threshold", several, Options{Crit: rules(t, "hold=9")},
			"a_emails a_size a_age a_hold b_emails b_size b_age b_hold",
		},
		{"by name", several[1:], Options{Perfdata: named("size", "up")}, "size up"},
		{"by glob", several[1:], Options{Perfdata: named("hold*"), Warn: rules(t, "9")}, "hold hold_size hold_age"},
		{"all but", several[1:], Options{Perfdata: named("!*_*"), Warn: rules(t, "corrupt=9")},
			"emails size age recipients active deferred hold incoming maildrop"},
		{"all but, and on demand", several[1:], Options{Perfdata: named("*", "up", "!*_*", "!*s")},
			"size age up active deferred hold incoming maildrop"},
		{"several by glob", several, Options{Perfdata: named("*_age")}, strings.Join([]string{
			"a_active_age a_deferred_age a_hold_age a_incoming_age a_maildrop_age",
			"b_active_age b_deferred_age b_hold_age b_incoming_age b_maildrop_age",
		}, " ")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var labels []string
			for _, p := range Judge(tt.readings, tt.options).Perf {
				labels = append(labels, p.Label)
			}
			if got := strings.Join(labels, " "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Performance data is never cut, and the text of line 1 makes room for it.
func TestLine1MakesRoomForPerfdata(t *testing.T) {
	for items, want := range map[int]int{0: 1024, 30: 1024, 60: minLine1Text} {
		r := Result{Lines: []queue.Text{queue.Text(strings.Repeat("x", 3000))}}
		for i := range items {
			r.Perf = append(r.Perf, Perf{Label: fmt.Sprintf("metric_%02d", i), Value: 123456})
		}
		var out bytes.Buffer
		r.Write(&out)
		line1 := strings.TrimSuffix(out.String(), "\n")
		text, perf, _ := strings.Cut(line1, " | ")
		if got := len(line1); want == 1024 && got != want || want < 1024 && len(text) != want {
			t.Errorf("%d items: %d bytes, %d of text", items, got, len(text))
		}
		if strings.Count(perf, "=") != items || !strings.HasSuffix(text, "...") {
			t.Errorf("%d items: %s", items, line1)
		}
	}
}

func TestWriteIsSafeAndWithinLimits(t *testing.T) {
	r := Result{
		State: Warning,
		Lines: []queue.Text{queue.Typed("a|b=1 $HOST$\n\x1b[31m é" + strings.Repeat("y", 3000)), "second | line"},
	}
	for i := range 200 {
		r.Lines = append(r.Lines, queue.Text(fmt.Sprintf("line %d %s", i, strings.Repeat("z", 40))))
	}
	r.Perf = []Perf{{Label: "emails", Value: math.MaxInt64}}
	var out bytes.Buffer
	if code := r.Write(&out); code != 1 {
		t.Errorf("exit code %d", code)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	text, perf, found := strings.Cut(lines[0], " | ")
	if !found || perf != "emails=9223372036854775807;;;0" {
		t.Errorf("performance data %q", perf)
	}
	if !strings.HasPrefix(text, "POSTFIX_QUEUE WARNING - a?b=1 $HOST$??[31m ?y") || len(lines[0]) != 1024 ||
		!strings.HasSuffix(text, "...") {
		t.Errorf("line 1 of %d bytes: %q", len(text), text)
	}
	if lines[1] != "second ? line" {
		t.Errorf("line 2: %q", lines[1])
	}
	if total := out.Len() - len(" | ") - len(perf) - 1; total > 4096 || total < 3900 {
		t.Errorf("%d bytes of text", total)
	}
	mark := fmt.Sprintf("... %d more lines: run it on the host", len(r.Lines)-len(lines)+1)
	if last := lines[len(lines)-1]; last != mark {
		t.Errorf("last line %q, want %q", last, mark)
	}
	r.Lines = r.Lines[:3]
	out.Reset()
	if r.Write(&out); strings.Contains(out.String(), "more line") {
		t.Errorf("everything fits, but %q", out.String())
	}
}

func TestWriteRefusesBadPerfdata(t *testing.T) {
	var out bytes.Buffer
	r := Result{State: OK, Lines: []queue.Text{"fine"}, Perf: []Perf{{Label: "a=b"}}}
	if code := r.Write(&out); code != int(Unknown) ||
		!strings.HasPrefix(out.String(), "POSTFIX_QUEUE UNKNOWN - performance data of a=b") {
		t.Errorf("exit code %d, %q", code, out.String())
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("no") }

func TestWriteFailureIsUnknown(t *testing.T) {
	if code := (Result{Lines: []queue.Text{"fine"}}).Write(brokenWriter{}); code != int(Unknown) {
		t.Errorf("exit code %d", code)
	}
}

func TestDetail(t *testing.T) {
	s := summary()
	s.Detail = "/usr/sbin/postqueue -j"
	got := Judge([]queue.Reading{{Summary: s, Took: 520 * time.Millisecond}}, Options{Detail: DetailSource}).Lines[1:]
	want := `queue       emails       size  oldest
active           2      2 KiB  1m 30s
deferred        40   33.3 MiB  5h 59m
hold             3    122 KiB  3d 4h
incoming         0        0 B  -
maildrop         0        0 B  -
total           45   33.5 MiB  3d 4h
no senders, no reasons and no domains: the snapshot was written without --breakdown
source postqueue: /usr/sbin/postqueue -j, 0.520 s`
	if diff := cmp.Diff(strings.Split(want, "\n"), plain(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An empty queue has a table, but a failure without numbers has none.
func TestDetailOfNothing(t *testing.T) {
	whole := queue.Reading{Summary: empty()}
	failed := queue.Reading{Summary: empty(), Err: errors.New("denied")}
	failed.Summary.Partial = true
	for name, tt := range map[string]struct {
		reading queue.Reading
		lines   int
	}{
		"empty":  {whole, 8},
		"failed": {failed, 1},
	} {
		if got := Judge([]queue.Reading{tt.reading}, Options{Detail: DetailQueues}).Lines; len(got) != tt.lines {
			t.Errorf("%s: %q, want %d lines", name, got, tt.lines)
		}
	}
}

func TestDetailSaysThatNumbersAreLowerBounds(t *testing.T) {
	s := summary()
	got := Judge([]queue.Reading{{Summary: s}}, Options{Detail: DetailQueues}).Lines
	s.Partial, s.Visited = true, 45
	late := Judge([]queue.Reading{{Summary: s, Err: context.DeadlineExceeded}}, Options{Detail: DetailQueues}).Lines
	if want := append(slices.Clone(got[1:]), "these numbers are lower bounds"); !slices.Equal(late[1:], want) {
		t.Errorf("got %q, want %q", late[1:], want)
	}
}

func plain(lines []queue.Text) []string {
	texts := make([]string, len(lines))
	for i, line := range lines {
		texts[i] = string(line)
	}
	return texts
}

func TestWorst(t *testing.T) {
	order := []State{OK, Warning, Unknown, Critical}
	for i, a := range order {
		for j, b := range order {
			if got, want := Worst(a, b), order[max(i, j)]; got != want {
				t.Errorf("Worst(%v, %v) = %v", a, b, got)
			}
		}
	}
}

// Troubles come before thresholds, and no filter hides them; what is only worth a word comes last.
func TestTroubles(t *testing.T) {
	since := now.Add(-149 * time.Minute)
	dead := queue.Trouble{Name: "queue_manager", Severity: queue.Critical, Messages: 90, Since: since}
	doubtful := dead
	doubtful.Severity = queue.Unconfirmed
	full := queue.Trouble{
		Name: "saturated", Severity: queue.Warning, Messages: 5, Since: since, Active: 20_000, NoneTaken: true,
	}
	space := queue.Trouble{Name: "no_space", Severity: queue.Critical, FreeBytes: 14 << 20, NeededBytes: 15_360_000}
	clock := queue.Trouble{Name: "clock", Severity: queue.Remark, Messages: 150}
	hostile := queue.Trouble{Name: "a|b`c$\n", Severity: queue.Warning}
	const numbers = "45 emails, 33.5 MiB, oldest 5h 59m" + held
	const taken = "the queue manager takes no mail: 90 in incoming, oldest 2h 29m, active 0"
	tests := []struct {
		name     string
		summary  *queue.Summary
		err      error
		warn     string
		troubles []queue.Trouble
		state    State
		line     string
	}{
		{
			"dead", summary(), nil, "10", []queue.Trouble{dead}, Critical,
			taken + "; 45 emails (above 10), 33.5 MiB, oldest 5h 59m" + held,
		},
		{
			"dead, perhaps", summary(), nil, "", []queue.Trouble{doubtful}, Unknown,
			taken + " (not confirmed in time); " + numbers,
		},
		{
			"full, and the clock", summary(), nil, "", []queue.Trouble{full, clock}, Warning,
			"the active queue is full (20000), 5 in incoming, oldest 2h 29m, none taken; " + numbers +
				"; 150 arrivals lie in the future: see the clock",
		},
		{
			"no space in an empty queue", empty(), nil, "", []queue.Trouble{space}, Critical,
			"Postfix refuses mail by SMTP: 14 MiB free, needs 14.6 MiB; queue is empty",
		},
		{
			"no space, and no answer", empty(), errors.New("denied"), "", []queue.Trouble{space}, Critical,
			"Postfix refuses mail by SMTP: 14 MiB free, needs 14.6 MiB; denied",
		},
		{"a hostile snapshot", empty(), nil, "", []queue.Trouble{hostile}, Warning, "trouble: a?b?c??; queue is empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.summary.Troubles, tt.summary.Partial = tt.troubles, tt.err != nil
			reading := queue.Reading{Instance: queue.Instance{Name: "mx"}, Summary: tt.summary, Err: tt.err}
			got := Judge([]queue.Reading{reading}, Options{Warn: rules(t, tt.warn), Detail: DetailQueues})
			if got.State != tt.state || string(got.Lines[0]) != tt.line {
				t.Errorf("%v: %s\nwant %v: %s", got.State, got.Lines[0], tt.state, tt.line)
			}
			isTrouble := func(line queue.Text) bool { return strings.HasPrefix(string(line), "trouble: ") }
			if !slices.ContainsFunc(got.Lines[1:], isTrouble) {
				t.Errorf("-v does not say what to do: %q", got.Lines)
			}
		})
	}
}

// A queue directory without sockets is judged by its numbers, and -v says why nothing else can be said.
func TestUnseen(t *testing.T) {
	s := empty()
	s.Troubles, s.Unseen = []queue.Trouble{{Name: "unseen"}}, "/q/public/qmgr does not exist"
	got := Judge([]queue.Reading{{Summary: s}}, Options{Detail: DetailQueues})
	want := []string{
		"queue is empty; cannot see whether Postfix runs",
		"cannot see whether Postfix runs: /q/public/qmgr does not exist; " +
			"mount the whole queue directory, with public, on the host where Postfix runs",
	}
	if diff := cmp.Diff(want, plain(got.Lines)[:2]); diff != "" || got.State != OK {
		t.Errorf("%v (-want +got):\n%s", got.State, diff)
	}
}

func TestDetailOfArrivals(t *testing.T) {
	s := summary()
	s.Arrivals, s.Expiring = &queue.Arrivals{Last5m: 147, Last1h: 1874}, new(int64(120))
	got := plain(Judge([]queue.Reading{{Summary: s}}, Options{Detail: DetailQueues}).Lines)
	want := []string{
		"147 came in the last 5 minutes, 1874 in the last hour, and are still here",
		"120 will be returned within a day",
	}
	if diff := cmp.Diff(want, got[len(got)-2:]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.Arrivals, s.Expiring = new(queue.Arrivals), new(int64(0))
	if few := Judge([]queue.Reading{{Summary: s}}, Options{Detail: DetailQueues}).Lines; len(few) != len(got)-2 {
		t.Errorf("of nothing: %q", few)
	}
}

// The one that has most may have more than was counted. Only what is proved is judged.
func TestUndercountedMetric(t *testing.T) {
	for _, tt := range []struct {
		warn, crit string
		want       State
	}{
		{"", "top_sender=400", Critical},
		{"", "top_sender=550", Unknown},
		{"", "top_sender=600", OK},
		{"top_sender=400", "top_sender=550", Unknown},
		{"top_sender=400", "top_sender=700", Warning},
		{"top_sender=550", "top_sender=700", Unknown},
		{"", "top_sender=@520:530", Unknown},
	} {
		s := summary()
		s.Tops = &queue.Tops{Sender: queue.Top{Messages: 500, MaxUndercount: 100}}
		o := Options{Crit: rules(t, tt.crit)}
		if tt.warn != "" {
			o.Warn = rules(t, tt.warn)
		}
		got := Judge([]queue.Reading{{Summary: s}}, o)
		if got.State != tt.want {
			t.Errorf("-w %q -c %q: %v, want %v: %q", tt.warn, tt.crit, got.State, tt.want, got.Lines[0])
		}
		if tt.want == Unknown && !strings.Contains(string(got.Lines[0]), "500 from one sender domain or up to 100 more") {
			t.Errorf("%q", got.Lines[0])
		}
	}
}
