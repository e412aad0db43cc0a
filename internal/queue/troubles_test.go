package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// watched is a live source: what it has at the first look, and at the second.
type watched struct {
	name          string
	first, second []Message
	glanceErr     error
	activeLimit   int64
	runDelay      time.Duration
	space         *Space
	facts         Facts
	err           error
	glanced       *[]Name // at the second look
}

func (w watched) Name() string                                 { return w.name }
func (w watched) Limits(context.Context) Limits                { return Limits{w.activeLimit, w.runDelay} }
func (w watched) Space(context.Context) *Space                 { return w.space }
func (w watched) AddReasons(context.Context, []*Message) error { return nil }

func (w watched) Read(_ context.Context, _ Depth, visit func(*Message)) (Facts, error) {
	for _, m := range w.first {
		visit(&m)
	}
	return w.facts, w.err
}

func (w watched) Glance(_ context.Context, queues []Name, visit func(*Message)) error {
	*w.glanced = queues
	for _, m := range w.second {
		if slices.Contains(queues, m.Queue) || w.name != SpoolName {
			visit(&m)
		}
	}
	return w.glanceErr
}

// some returns messages in a queue that have all arrived and been put there some time ago, and are due now.
func some(n int, name Name, age time.Duration) []Message {
	list := make([]Message, n)
	for i := range list {
		list[i] = Message{
			Queue: name, ID: string(name) + strconv.Itoa(i), Sender: "a@example.org",
			Arrival: ago(age), Entered: ago(age), Due: ago(age),
		}
	}
	return list
}

func with(list []Message, change func(*Message)) []Message {
	for i := range list {
		change(&list[i])
	}
	return list
}

const hours = 2*time.Hour + 29*time.Minute

func TestTroubles(t *testing.T) {
	inodes := func(n int64) *int64 { return &n }
	taken := func(m *Message) { m.Arrival, m.Entered, m.Due = ago(3*time.Hour), ago(3*time.Hour), ago(-time.Hour) }
	listed := func(list []Message) []Message {
		return with(list, func(m *Message) { m.Entered, m.Due = time.Time{}, time.Time{} })
	}
	tests := []struct {
		name    string
		source  func() watched
		stuck   time.Duration // 0: 10 minutes; negative: 0
		timeout time.Duration
		want    []string // severity and text
	}{
		{
			name:   "an empty queue",
			source: func() watched { return watched{name: SpoolName} },
		},
		{
			name: "mail that moves",
			source: func() watched {
				return watched{name: SpoolName, first: slices.Concat(
					some(9, Incoming, time.Second), some(9, Active, time.Hour), some(9, Maildrop, time.Second),
					with(some(9, Deferred, hours), taken), some(9, Hold, hours),
				)}
			},
		},
		{
			name: "a dead queue manager",
			source: func() watched {
				return watched{name: SpoolName, first: some(90, Incoming, hours), second: some(90, Incoming, hours)}
			},
			want: []string{"critical: the queue manager takes no mail: 90 in incoming, oldest 2h 29m, active 0"},
		},
		{
			name: "a dead queue manager while mail comes",
			source: func() watched {
				return watched{
					name: SpoolName, first: slices.Concat(some(2, Incoming, hours), some(3, Active, hours)),
					second: slices.Concat(some(9, Incoming, time.Second), some(2, Incoming, hours), some(3, Active, hours)),
				}
			},
			want: []string{"critical: the queue manager takes no mail: 2 in incoming, oldest 2h 29m, active 3"},
		},
		{
			name: "not looked for",
			source: func() watched {
				return watched{name: SpoolName, first: some(90, Incoming, hours), second: some(90, Incoming, hours)}
			},
			stuck: -1,
		},
		{
			name: "mail that leaves at last",
			source: func() watched {
				return watched{name: SpoolName, first: some(90, Incoming, hours), second: some(89, Incoming, hours)}
			},
		},
		{
			name: "a new file of an old message, as after a requeue",
			source: func() watched {
				touched := func(m *Message) { m.Entered = ago(time.Second) }
				return watched{name: SpoolName, first: with(some(90, Incoming, hours), touched)}
			},
		},
		{
			name: "mail under delivery that a reload has put back",
			source: func() watched {
				postponed := func(m *Message) { m.Due = ago(-time.Minute) }
				return watched{name: SpoolName, first: with(some(90, Incoming, hours), postponed)}
			},
		},
		{
			name: "no time for a second look",
			source: func() watched {
				return watched{name: SpoolName, first: some(1, Incoming, hours), second: some(1, Incoming, hours)}
			},
			timeout: time.Second,
			want: []string{
				"unconfirmed: the queue manager takes no mail: 1 in incoming, oldest 2h 29m, active 0 (not confirmed in time)",
			},
		},
		{
			name: "a second look that fails",
			source: func() watched {
				return watched{name: SpoolName, first: some(1, Maildrop, hours), glanceErr: errors.New("denied")}
			},
			want: []string{"unconfirmed: local mail is not taken up: 1 in maildrop, oldest 2h 29m " +
				"(pickup, cleanup or a milter) (not confirmed in time)"},
		},
		{
			name: "a full active queue",
			source: func() watched {
				queue := slices.Concat(some(9, Active, time.Hour), some(5, Incoming, hours))
				return watched{name: SpoolName, activeLimit: 10, first: queue, second: some(4, Incoming, hours)}
			},
			want: []string{"warning: the active queue is full (9), 5 in incoming, oldest 2h 29m"},
		},
		{
			name: "an active queue that is full at the second look",
			source: func() watched {
				return watched{
					name: SpoolName, activeLimit: 10, first: some(5, Incoming, hours),
					second: slices.Concat(some(10, Active, time.Hour), some(5, Incoming, hours)),
				}
			},
			want: []string{"warning: the active queue is full (10), 5 in incoming, oldest 2h 29m, none taken"},
		},
		{
			name: "a full active queue and no time",
			source: func() watched {
				queue := slices.Concat(some(10, Active, time.Hour), some(5, Incoming, hours))
				return watched{name: SpoolName, activeLimit: 10, first: queue}
			},
			timeout: time.Second,
			want:    []string{"warning: the active queue is full (10), 5 in incoming, oldest 2h 29m"},
		},
		{
			name: "deferred mail that nobody tries",
			source: func() watched {
				return watched{name: SpoolName, first: some(3, Deferred, time.Hour), second: some(3, Deferred, time.Hour)}
			},
			want: []string{"warning: deferred mail is not tried: overdue by 1h"},
		},
		{
			name: "deferred mail that waits for the next scan",
			source: func() watched {
				return watched{name: SpoolName, first: some(3, Deferred, 19*time.Minute), second: some(3, Deferred, 19*time.Minute)}
			},
		},
		{
			name: "deferred mail that the queue manager looks for every hour",
			source: func() watched {
				return watched{name: SpoolName, runDelay: time.Hour, first: some(3, Deferred, 2*time.Hour)}
			},
		},
		{
			name: "deferred mail that was tried between the looks",
			source: func() watched {
				return watched{
					name: SpoolName, first: some(3, Deferred, time.Hour),
					second: with(some(3, Deferred, time.Hour), func(m *Message) { m.Due = ago(-time.Hour) }),
				}
			},
		},
		{
			name: "deferred mail that waits because nothing is taken",
			source: func() watched {
				queue := slices.Concat(some(3, Deferred, time.Hour), some(1, Incoming, time.Hour))
				return watched{name: SpoolName, first: queue, second: queue}
			},
			want: []string{"critical: the queue manager takes no mail: 1 in incoming, oldest 1h, active 0"},
		},
		{
			name: "local mail",
			source: func() watched {
				return watched{name: SpoolName, first: some(150, Maildrop, time.Hour), second: some(151, Maildrop, time.Hour)}
			},
			want: []string{"warning: local mail is not taken up: 150 in maildrop, oldest 1h (pickup, cleanup or a milter)"},
		},
		{
			name: "local mail by a listing",
			source: func() watched {
				return watched{name: "postqueue", first: listed(some(150, Maildrop, time.Hour)), second: nil}
			},
			want: []string{"remark: 150 in maildrop, oldest 1h"},
		},
		{
			name: "a dead queue manager by a listing",
			source: func() watched {
				queue := listed(slices.Concat(
					some(3, Deferred, 3*time.Hour), some(4, Active, 200*time.Minute),
					some(1, Incoming, 4*time.Hour), with(some(5, Incoming, hours), func(m *Message) { m.ID += "B" }),
				))
				return watched{name: "postqueue", first: queue, second: queue}
			},
			want: []string{"warning: the queue manager takes no mail: 6 in incoming, oldest 2h 29m, active 4"},
		},
		{
			name: "mail in incoming that is older than what was taken",
			source: func() watched {
				queue := listed(slices.Concat(some(3, Deferred, time.Minute), some(5, Incoming, hours)))
				return watched{name: "postqueue", first: queue, second: queue}
			},
		},
		{
			name: "taken mail from the future hides nothing",
			source: func() watched {
				queue := listed(slices.Concat(some(3, Deferred, -time.Hour), some(5, Incoming, hours)))
				return watched{name: "postqueue", first: queue, second: queue}
			},
			want: []string{
				"warning: the queue manager takes no mail: 5 in incoming, oldest 2h 29m, active 0",
				"remark: 3 arrivals lie in the future: see the clock",
			},
		},
		{
			name: "the clock",
			source: func() watched {
				return watched{name: SpoolName, first: slices.Concat(
					some(1, Active, -2*time.Minute), with(some(1, Active, -59*time.Second), func(m *Message) { m.ID = "B" }),
				)}
			},
			stuck: -1,
			want:  []string{"remark: 1 arrival lies in the future: see the clock"},
		},
		{
			name: "too little space for a message",
			source: func() watched {
				space := Space{FreeBytes: 3750 * 4096, BlockBytes: 4096, MessageSizeLimit: 10240000, FreeInodes: inodes(9)}
				return watched{name: "postqueue", space: &space}
			},
			stuck: -1,
			want:  []string{"critical: Postfix refuses mail by SMTP: 14.6 MiB free, needs 14.6 MiB"},
		},
		{
			name: "just enough space",
			source: func() watched {
				space := Space{FreeBytes: 3751 * 4096, BlockBytes: 4096, MessageSizeLimit: 10240000, FreeInodes: inodes(9)}
				return watched{name: "postqueue", space: &space}
			},
		},
		{
			name: "less than queue_minfree",
			source: func() watched {
				space := Space{FreeBytes: 99 << 20, BlockBytes: 4096, MessageSizeLimit: 1, MinFreeBytes: 100 << 20}
				return watched{name: SpoolName, space: &space, err: errors.New("cut short")}
			},
			want: []string{"critical: Postfix refuses mail by SMTP: 99 MiB free, needs 100 MiB"},
		},
		{
			name:   "no space, no limits",
			source: func() watched { return watched{name: SpoolName, space: &Space{BlockBytes: 4096}} },
			want:   []string{"critical: Postfix accepts no mail: 0 B free in queue_directory"},
		},
		{
			name: "no inodes",
			source: func() watched {
				return watched{name: SpoolName, space: &Space{FreeBytes: 1 << 40, BlockBytes: 4096, FreeInodes: inodes(0)}}
			},
			want: []string{"critical: Postfix accepts no mail: no inode is free in queue_directory"},
		},
		{
			name: "read-only",
			source: func() watched {
				return watched{name: SpoolName, space: &Space{FreeBytes: 1 << 40, BlockBytes: 4096, ReadOnly: true}}
			},
			want: []string{"critical: Postfix accepts no mail: the file system of queue_directory is read-only"},
		},
		{
			name: "a queue that was not read to its end",
			source: func() watched {
				return watched{name: SpoolName, first: some(90, Incoming, hours), err: errors.New("cut short")}
			},
		},
		{
			name: "a mail system that is down",
			source: func() watched {
				return watched{name: SpoolName, first: some(90, Incoming, hours), facts: Facts{Down: "refused"}}
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(tt.timeout, 8*time.Second))
				defer cancel()
				stuck := max(0, cmp.Or(tt.stuck, 10*time.Minute))
				var glanced []Name
				source := tt.source()
				source.glanced = &glanced
				if source.activeLimit == 0 {
					source.activeLimit = 20_000
				}
				s, _ := Summarize(ctx, source, Query{Stuck: stuck, Filter: Filter{Queues: []Name{Hold}}})
				var got []string
				for _, trouble := range s.Troubles {
					got = append(got, fmt.Sprintf("%s: %s", trouble.Severity, trouble.Text(s.Taken)))
					if trouble.Remedy() == "" {
						t.Errorf("%s has no remedy", trouble.Name)
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("got  %q\nwant %q; the second look was at %v", got, tt.want, glanced)
				}
			})
		})
	}
}

// Between two looks there are at least two seconds, and a long reading is no reason to wait longer.
func TestTimeBetweenLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var glanced []Name
		source := watched{name: SpoolName, activeLimit: 1, first: some(1, Incoming, hours), glanced: &glanced}
		began := time.Now()
		if _, err := Summarize(t.Context(), source, Query{Stuck: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != betweenLooks {
			t.Errorf("the second look came after %s", took)
		}
		if want := []Name{Incoming, Active}; !slices.Equal(glanced, want) {
			t.Errorf("the second look was at %v, want %v", glanced, want)
		}
	})
}

// However much mail waits, memory is limited.
func TestRememberedMail(t *testing.T) {
	l := look{began: time.Now(), stuck: time.Minute}
	for i := range 3 * maxRemembered {
		l.add(&Message{Queue: Incoming, ID: strconv.Itoa(i), Arrival: ago(time.Hour)})
	}
	remembered := len(l.incoming.since)
	if remembered > maxRemembered || remembered < maxRemembered/4 || l.incoming.messages != 3*maxRemembered {
		t.Errorf("%d of %d messages remembered", remembered, l.incoming.messages)
	}
	early := 0
	for id := range l.incoming.since {
		if n, _ := strconv.Atoi(id); n < maxRemembered {
			early++
		}
	}
	if share := float64(early) / float64(remembered); share < 0.25 || share > 0.42 {
		t.Errorf("%.2f of the sample are of the first third", share)
	}
}

func TestArrivals(t *testing.T) {
	list := slices.Concat(
		some(1, Active, 0), some(2, Deferred, 299*time.Second), some(4, Incoming, 301*time.Second),
		some(8, Maildrop, 3599*time.Second), some(16, Active, 3700*time.Second), some(32, Hold, time.Second),
		some(64, Hold, -time.Hour), some(128, Active, -59*time.Second),
	)
	s, err := Summarize(t.Context(), messages{list: list}, Query{})
	if err != nil || *s.Arrivals != (Arrivals{Last5m: 131, Last1h: 143, Ahead: 64}) {
		t.Errorf("%+v, %v", s.Arrivals, err)
	}
	s, err = Summarize(t.Context(), messages{list: list, facts: Facts{NoArrivalTimes: true}}, Query{})
	if err != nil || s.Arrivals != nil {
		t.Errorf("without arrival times: %+v, %v", s.Arrivals, err)
	}
}

// A trouble of a later version, in a snapshot, is named.
func TestUnknownTrouble(t *testing.T) {
	trouble := Trouble{Name: "gremlins", Severity: Critical}
	if got := trouble.Text(time.Now()); got != "trouble: gremlins" {
		t.Error(got)
	}
	if got := trouble.Remedy(); got != "" {
		t.Error(got)
	}
}
