package trend

import (
	"fmt"
	"math"
	"testing"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
)

// at is a moment so long after a boot.
func at(d time.Duration) Clock {
	return Clock{Wall: time.Unix(1_700_000_000, 0).Add(d), Boot: time.Hour + d, BootID: "a"}
}

// seriesOf has a number of messages for each interval, up to a day after at(0).
func seriesOf(interval time.Duration, numbers ...int64) (s series) {
	for i, n := range numbers {
		s = append(s, at(24*time.Hour-time.Duration(len(numbers)-1-i)*interval).sample(n))
	}
	return s
}

func TestGrowth(t *testing.T) {
	tests := []struct {
		name    string
		series  series
		unknown bool
		perHour int64
		steady  bool
	}{
		{name: "one sample", series: seriesOf(time.Minute, 7), unknown: true},
		{name: "two within a minute", series: seriesOf(59*time.Second, 7, 9), unknown: true},
		{name: "two a minute apart", series: seriesOf(time.Minute, 7, 9), perHour: 120, steady: true},
		{name: "three within a minute", series: seriesOf(20*time.Second, 7, 8, 9), unknown: true},
		{name: "four in a minute", series: seriesOf(20*time.Second, 7, 8, 9, 10), perHour: 180, steady: true},
		{name: "the same number", series: seriesOf(time.Minute, 7, 7, 7)},
		{name: "draining", series: seriesOf(5*time.Minute, 300, 200, 100, 0), perHour: -1200, steady: true},
		{name: "least squares", series: seriesOf(time.Minute, 0, 3, 3), perHour: 90, steady: true},
		{name: "less than one in an hour", series: seriesOf(15*time.Minute, 1000, 1000), perHour: 0},
		{
			name: "only the last 15 minutes", series: seriesOf(5*time.Minute, 9000, 5000, 10, 20, 30, 40),
			perHour: 120, steady: true,
		},
		{name: "seldom", series: seriesOf(30*time.Minute, 500, 100, 200), perHour: 200, steady: true},
		{
			name: "it has turned", series: seriesOf(time.Minute, 0, 10, 20, 30, 40, 50, 60, 50, 40, 30, 20, 20),
			perHour: 99,
		},
		{
			name: "it turned long ago", series: seriesOf(time.Minute, 50, 40, 50, 60, 70, 80, 90, 100, 110),
			perHour: 520, steady: true,
		},
		{
			name: "beyond all numbers", series: seriesOf(time.Minute, 0, math.MaxInt64),
			perHour: 1 << 53, steady: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, known := tt.series.growth()
			if want := (queue.Growth{PerHour: tt.perHour, Steady: tt.steady}); known == tt.unknown || got != want {
				t.Errorf("got %+v, %v; want %+v, %v", got, known, want, !tt.unknown)
			}
		})
	}
}

func TestUntil(t *testing.T) {
	tests := []struct {
		name    string
		perHour int64
		turned  bool
		from    int64
		to      float64
		want    time.Duration // 0: unknown
	}{
		{name: "growing to a limit", perHour: 1560, from: 1500, to: 2020, want: 20 * time.Minute},
		{name: "draining to nothing", perHour: -800, from: 160, want: 12 * time.Minute},
		{name: "the direction has changed", perHour: 1560, turned: true, from: 1500, to: 2020},
		{name: "away from it", perHour: 1560, from: 1500, to: 1400},
		{name: "draining, away from it", perHour: -10, from: 1500, to: 1600},
		{name: "two days", perHour: 10, from: 0, to: 480, want: 48 * time.Hour},
		{name: "more than two days", perHour: 10, from: 0, to: 481},
		{name: "no growth", perHour: 0, from: 1, to: 2},
		{name: "no growth, no way", perHour: 0, from: 1, to: 1},
		{name: "infinitely far", perHour: 1, from: 1, to: math.Inf(1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, known := Until(queue.Growth{PerHour: tt.perHour, Steady: !tt.turned}, tt.from, tt.to)
			if got != tt.want || known != (tt.want != 0) {
				t.Errorf("got %v, %v; want %v", got, known, tt.want)
			}
		})
	}
}

// Samples stay for two hours of one boot, unless a clock is set.
func TestForgetting(t *testing.T) {
	moved := func(c Clock, wall, boot time.Duration) Clock {
		c.Wall, c.Boot = c.Wall.Add(wall), c.Boot+boot
		return c
	}
	otherBoot := at(time.Minute)
	otherBoot.BootID = "b"
	tests := []struct {
		name string
		now  Clock
		kept bool
	}{
		{"a minute later", at(time.Minute), true},
		{"two hours later", at(2 * time.Hour), true},
		{"more than two hours later", at(2*time.Hour + time.Second), false},
		{"a clock that is slewed", moved(at(2*time.Hour), 4*time.Second, 0), true},
		{"the clock was set forward", moved(at(time.Minute), 10*time.Second, 0), false},
		{"the clock was set back", moved(at(time.Minute), -time.Hour, 0), false},
		{"another boot", otherBoot, false},
		{"another boot of the same ID", moved(at(time.Minute), 0, -time.Hour), false},
		{"before it", at(-time.Minute), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, _ := document{}.record(at(0), map[Key]int64{"k": 1})
			after, growth := before.record(tt.now, map[Key]int64{"k": 1})
			if kept := len(after.Series["k"]) == 2; kept != tt.kept || len(growth) == 1 != tt.kept {
				t.Errorf("samples %v, growth %v", after.Series["k"], growth)
			}
			// A series that gets no more samples goes, too.
			other, _ := before.record(tt.now, map[Key]int64{"l": 1})
			if _, kept := other.Series["k"]; kept != tt.kept {
				t.Errorf("series %v", other.Series)
			}
		})
	}
}

// However often the check runs, the samples span two hours and are few.
func TestThinning(t *testing.T) {
	for _, interval := range []time.Duration{
		0, time.Second, 7 * time.Second, 10 * time.Second, time.Minute, 5 * time.Minute, time.Hour,
	} {
		t.Run(interval.String(), func(t *testing.T) {
			d := document{}
			const runs = 9000
			var now Clock
			for i := range runs {
				now = at(time.Duration(i) * interval)
				d, _ = d.record(now, map[Key]int64{"k": int64(i)})
			}
			s := d.Series["k"]
			if newest := s[len(s)-1]; newest != now.sample(runs-1) {
				t.Errorf("the newest sample is %+v", newest)
			}
			oldest := s[len(s)-1].since(s[0])
			if most := min((runs-1)*interval, lifetime); oldest > most || oldest < most-5*time.Minute-2*interval {
				t.Errorf("the oldest sample is of %v ago", oldest)
			}
			if len(s) > maxSamples || interval == time.Minute && len(s.last(window)) != 16 {
				t.Errorf("%d samples, %d of the last time", len(s), len(s.last(window)))
			}
			if g, known := s.growth(); interval > 0 && (!known || g.PerHour != int64(time.Hour/interval) || !g.Steady) {
				t.Errorf("growth %+v, %v", g, known)
			}
		})
	}
}

// Series that nobody asks for make room for others.
func TestManySeries(t *testing.T) {
	d := document{}
	for i := range 3 * maxSeries {
		d, _ = d.record(at(time.Duration(i)*time.Second), map[Key]int64{"always": 1, Key(fmt.Sprint(i)): 1})
	}
	if len(d.Series) != maxSeries || d.Series["always"] == nil || d.Series[Key(fmt.Sprint(3*maxSeries-1))] == nil {
		t.Errorf("%d series", len(d.Series))
	}
}

func TestKey(t *testing.T) {
	pattern := func(text string) (p queue.Patterns) {
		if err := p.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return p
	}
	both := append(pattern("a"), pattern("b")...)
	seen := map[Key]string{}
	for name, key := range map[string]Key{
		"plain":               NewKey(queue.Instance{Name: "a"}, "", queue.Filter{}),
		"directory":           NewKey(queue.Instance{Name: "a", ConfigDir: "b"}, "", queue.Filter{}),
		"queue directory":     NewKey(queue.Instance{Name: "a"}, "b", queue.Filter{}),
		"one queue":           NewKey(queue.Instance{Name: "a"}, "", queue.Filter{Queues: []queue.Name{queue.Hold}}),
		"sender":              NewKey(queue.Instance{Name: "a"}, "", queue.Filter{Senders: pattern("a")}),
		"not the sender":      NewKey(queue.Instance{Name: "a"}, "", queue.Filter{Senders: pattern("!a")}),
		"two senders":         NewKey(queue.Instance{Name: "a"}, "", queue.Filter{Senders: both}),
		"looks like two":      NewKey(queue.Instance{Name: "a"}, "", queue.Filter{Senders: pattern(`a" "b`)}),
		"recipient":           NewKey(queue.Instance{Name: "a"}, "", queue.Filter{Recipients: pattern("a")}),
		"login":               NewKey(queue.Instance{Name: "a"}, "", queue.Filter{Logins: pattern("a")}),
		"client":              NewKey(queue.Instance{Name: "a"}, "", queue.Filter{Clients: pattern("a")}),
		"reason":              NewKey(queue.Instance{Name: "a"}, "", queue.Filter{Reasons: pattern("a")}),
		"older":               NewKey(queue.Instance{Name: "a"}, "", queue.Filter{OlderThan: time.Hour}),
		"another name":        NewKey(queue.Instance{Name: "b"}, "", queue.Filter{}),
		"looks like it, name": NewKey(queue.Instance{Name: `a" "b`}, "", queue.Filter{}),
	} {
		if other, taken := seen[key]; taken {
			t.Errorf("%s and %s have the same key", name, other)
		}
		seen[key] = name
	}
}
