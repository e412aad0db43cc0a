package thresholds

import (
	"errors"
	"math"
	"strings"
	"testing"

	"example.org/postfix-queue-monitor/internal/queue"
)

// RangeTable says which of its values each range alerts on: A or not (.).
const rangeTable = `
values   -5 -1 0 4 5 9 10 11 20 21 1000
10       AA.....AAAA
:10      AA.....AAAA
10:      AAAAAA.....
~:10     .......AAAA
10:20    AAAAAA...AA
-10:10   .......AAAA
1.5      AA.AAAAAAAA
@10:20   ......AAA..
@10      ..AAAAA....
@:10     ..AAAAA....
@10:     ......AAAAA
@~:10    AAAAAAA....
@~:      AAAAAAAAAAA
~:       ...........
1:       AAA........
-1:      A..........
5:5      AAAA.AAAAAA
@5:5     ....A......
0        AA.AAAAAAAA
0:0      AA.AAAAAAAA
@0       ..A........
@0:0     ..A........
1000:    AAAAAAAAAA.
`

func TestRangeAlerts(t *testing.T) {
	values := []int64{-5, -1, 0, 4, 5, 9, 10, 11, 20, 21, 1000}
	for line := range strings.Lines(strings.TrimSpace(rangeTable)) {
		text, want, _ := strings.Cut(strings.TrimSpace(line), " ")
		if text == "values" {
			continue
		}
		want = strings.TrimSpace(want)
		t.Run(text, func(t *testing.T) {
			r, err := ParseRange(text, queue.Count)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, v := range values {
				if r.Alerts(v) {
					got.WriteByte('A')
				} else {
					got.WriteByte('.')
				}
			}
			if got.String() != want {
				t.Errorf("alerts at %v:\ngot  %s\nwant %s", values, got.String(), want)
			}
		})
	}
}

func TestParseRange(t *testing.T) {
	inf := math.Inf(1)
	tests := []struct {
		text  string
		unit  queue.Unit
		want  Range
		canon string
	}{
		{"10", queue.Count, Range{0, 10, false}, "10"},
		{"0:10", queue.Count, Range{0, 10, false}, "10"},
		{":10", queue.Count, Range{0, 10, false}, "10"},
		{"0:", queue.Count, Range{0, inf, false}, "0:"},
		{"~:", queue.Count, Range{-inf, inf, false}, "~:"},
		{"@~:10", queue.Count, Range{-inf, 10, true}, "@~:10"},
		{"@10:20", queue.Count, Range{10, 20, true}, "@10:20"},
		{"-10:10", queue.Count, Range{-10, 10, false}, "-10:10"},
		{" 5 ", queue.Count, Range{0, 5, false}, "5"},
		{"+5", queue.Count, Range{0, 5, false}, "5"},
		{".5", queue.Count, Range{0, 0.5, false}, "0.5"},
		{"5.", queue.Count, Range{0, 5, false}, "5"},
		{"007", queue.Count, Range{0, 7, false}, "7"},
		{"-0:5", queue.Count, Range{0, 5, false}, "5"},
		{"59", queue.Bytes, Range{0, 60416, false}, "60416"},
		{"1.5", queue.Bytes, Range{0, 1536, false}, "1536"},
		{"10K:20M", queue.Bytes, Range{10 << 10, 20 << 20, false}, "10240:20971520"},
		{"10KiB:20MiB", queue.Bytes, Range{10 << 10, 20 << 20, false}, "10240:20971520"},
		{"1G", queue.Bytes, Range{0, 1 << 30, false}, "1073741824"},
		{"@100:2GiB", queue.Bytes, Range{100 << 10, 2 << 30, true}, "@102400:2147483648"},
		{"90", queue.Seconds, Range{0, 90, false}, "90"},
		{"5m:4h", queue.Seconds, Range{300, 14400, false}, "300:14400"},
		{"1d", queue.Seconds, Range{0, 86400, false}, "86400"},
		{"2w", queue.Seconds, Range{0, 1209600, false}, "1209600"},
		{"1.5h", queue.Seconds, Range{0, 5400, false}, "5400"},
		{"9007199254740992", queue.Count, Range{0, 1 << 53, false}, "9007199254740992"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := ParseRange(tt.text, tt.unit)
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if got.String() != tt.canon {
				t.Errorf("canonical form %q, want %q", got, tt.canon)
			}
		})
	}
}

func TestParseRangeRefusals(t *testing.T) {
	tests := []struct {
		text   string
		unit   queue.Unit
		reason string
	}{
		{"", queue.Count, "it is empty"},
		{"  ", queue.Count, "it is empty"},
		{":", queue.Count, "no number"},
		{"@", queue.Count, "no number"},
		{"@:", queue.Count, "no number"},
		{"~", queue.Count, "before a colon"},
		{"@~", queue.Count, "before a colon"},
		{"20:10", queue.Count, "did you mean 10:20?"},
		{"-5", queue.Count, "did you mean ~:-5?"},
		{"10:~", queue.Count, "cannot be the end"},
		{"1-10", queue.Count, "written with a colon"},
		{"10:20:30", queue.Count, "more than one colon"},
		{"1e3", queue.Count, "not a plain number"},
		{"0x10", queue.Count, "not a plain number"},
		{"10%", queue.Count, "no percentages"},
		{"1 0", queue.Count, "leave out the space"},
		{"10 :20", queue.Count, "leave out the space"},
		{"inf", queue.Count, "not a plain number"},
		{"nan", queue.Count, "not a plain number"},
		{"1,5", queue.Count, "decimal point"},
		{"@@5", queue.Count, "not a plain number"},
		{"--5:", queue.Count, "not a plain number"},
		{"1.2.3", queue.Count, "not a plain number"},
		{".", queue.Count, "not a plain number"},
		{"9007199254740993000", queue.Count, "too large"},
		{strings.Repeat("9", 400), queue.Count, "too large"},
		{"9000000G", queue.Bytes, "too large"},
		{"10K", queue.Count, "is a count"},
		{"10KB", queue.Bytes, "not in KB"},
		{"10m", queue.Bytes, "not in m"},
		{"10M", queue.Seconds, "not in M"},
		{"1h30m", queue.Seconds, "not a plain number"},
		{"٣", queue.Count, "not a plain number"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			_, err := ParseRange(tt.text, tt.unit)
			var refusal *RangeError
			if !errors.As(err, &refusal) || !strings.Contains(refusal.Reason, tt.reason) {
				t.Errorf("got error %v, want one with %q", err, tt.reason)
			}
		})
	}
}

func TestRangeLowerBounds(t *testing.T) {
	tests := []struct {
		text             string
		value            int64
		certain, mayBeit bool
	}{
		{"10", 9, false, true},
		{"10", 10, false, true},
		{"10", 11, true, true},
		{"5:10", 3, false, true}, // more mail may make it right, or wrong again
		{"5:10", 11, true, true},
		{"5:", 3, false, true},
		{"5:", 5, false, false},
		{"~:", 1000, false, false},
		{"@10:20", 15, false, true},
		{"@10:20", 21, false, false},
		{"@10:", 9, false, true},
		{"@10:", 10, true, true},
		{"@~:", 0, true, true},
	}
	for _, tt := range tests {
		r, err := ParseRange(tt.text, queue.Count)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.AlertsFrom(tt.value); got != tt.certain {
			t.Errorf("%s: AlertsFrom(%d) = %v", tt.text, tt.value, got)
		}
		if got := r.MayAlertFrom(tt.value); got != tt.mayBeit {
			t.Errorf("%s: MayAlertFrom(%d) = %v", tt.text, tt.value, got)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	for line := range strings.Lines(rangeTable) {
		f.Add(strings.SplitN(line, " ", 2)[0], int64(10))
	}
	f.Add("10KiB:2G", int64(5000))
	f.Fuzz(func(t *testing.T, text string, value int64) {
		for _, unit := range []queue.Unit{queue.Count, queue.Bytes, queue.Seconds} {
			r, err := ParseRange(text, unit)
			if err != nil {
				continue
			}
			if r.Start > r.End || math.IsNaN(r.Start) || math.IsNaN(r.End) {
				t.Fatalf("%q: impossible range %+v", text, r)
			}
			again, err := ParseRange(r.String(), queue.Count)
			if err != nil || again != r {
				t.Fatalf("%q: canonical form %q reads back as %+v, %v; want %+v", text, r, again, err, r)
			}
			if r.AlertsFrom(value) && (!r.Alerts(value) || !r.Alerts(math.MaxInt64)) {
				t.Fatalf("%q: AlertsFrom(%d), yet not there or not at the top", text, value)
			}
			if r.Alerts(value) && !r.MayAlertFrom(value) {
				t.Fatalf("%q: Alerts(%d), yet not MayAlertFrom", text, value)
			}
		}
	})
}
