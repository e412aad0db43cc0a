package thresholds

import (
	"math"
	"strings"
	"testing"

	"example.org/postfix-queue-monitor/internal/units"
)

func TestMasks(t *testing.T) {
	tests := []struct {
		critical, warning string
		want              bool
	}{
		{"10", "20", true},
		{"20", "10", false},
		{"10", "10", false},
		{"3:", "2:", true},
		{"2:", "3:", false},
		{"10:20", "5:30", true},
		{"10:20", "5:15", false},
		{"@10:20", "@12:15", true},
		{"@10:20", "@12:25", false},
		{"@10:", "20", true},
		{"10", "@5:7", false},
		{"10", "@15:20", true},
		{"10", "~:", false},
		{"1.5", "1", false},
		{"1", "1.5", false},
		{"1000000000000000", "2000000000000000", true},
	}
	for _, tt := range tests {
		critical, err := ParseRange(tt.critical, units.Count)
		if err != nil {
			t.Fatal(err)
		}
		warning, err := ParseRange(tt.warning, units.Count)
		if err != nil {
			t.Fatal(err)
		}
		if got := critical.Masks(warning, 0); got != tt.want {
			t.Errorf("critical %s, warning %s: %t", tt.critical, tt.warning, got)
		}
	}
}

// Only growth has negative values.
func TestMasksBelowZero(t *testing.T) {
	critical, warning := Range{Start: math.Inf(-1), End: 1000}, Range{Start: -100, End: 2000}
	if !critical.Masks(warning, 0) || critical.Masks(warning, -5000) {
		t.Error("a warning below -100 is not seen")
	}
}

func TestAbove(t *testing.T) {
	tests := []struct {
		text  string
		value int64
		want  float64 // -1: none
	}{
		{"10", 5, 10},
		{"10", 10, 10},
		{"10", 11, -1},
		{"10:", 15, -1},
		{"10:20", 15, 20},
		{"10:20", 5, -1},
		{"@10:20", 5, 10},
		{"@10:20", 10, -1},
		{"@10:20", 25, -1},
		{"@10:", 5, 10},
	}
	for _, tt := range tests {
		r, err := ParseRange(tt.text, units.Count)
		if err != nil {
			t.Fatal(err)
		}
		if limit, ok := r.Above(tt.value); ok != (tt.want >= 0) || ok && limit != tt.want {
			t.Errorf("%s from %d on: %v, %v", tt.text, tt.value, limit, ok)
		}
	}
}

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
			r, err := ParseRange(text, units.Count)
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
		unit  units.Unit
		want  Range
		canon string
	}{
		{"10", units.Count, Range{0, 10, false}, "10"},
		{"0:10", units.Count, Range{0, 10, false}, "10"},
		{":10", units.Count, Range{0, 10, false}, "10"},
		{"0:", units.Count, Range{0, inf, false}, "0:"},
		{"~:", units.Count, Range{-inf, inf, false}, "~:"},
		{"@~:10", units.Count, Range{-inf, 10, true}, "@~:10"},
		{"@10:20", units.Count, Range{10, 20, true}, "@10:20"},
		{"-10:10", units.Count, Range{-10, 10, false}, "-10:10"},
		{" 5 ", units.Count, Range{0, 5, false}, "5"},
		{"+5", units.Count, Range{0, 5, false}, "5"},
		{".5", units.Count, Range{0, 0.5, false}, "0.5"},
		{"5.", units.Count, Range{0, 5, false}, "5"},
		{"007", units.Count, Range{0, 7, false}, "7"},
		{"-0:5", units.Count, Range{0, 5, false}, "5"},
		{"59", units.Bytes, Range{0, 60416, false}, "60416"},
		{"1.5", units.Bytes, Range{0, 1536, false}, "1536"},
		{"10K:20M", units.Bytes, Range{10 << 10, 20 << 20, false}, "10240:20971520"},
		{"10KiB:20MiB", units.Bytes, Range{10 << 10, 20 << 20, false}, "10240:20971520"},
		{"1G", units.Bytes, Range{0, 1 << 30, false}, "1073741824"},
		{"@100:2GiB", units.Bytes, Range{100 << 10, 2 << 30, true}, "@102400:2147483648"},
		{"90", units.Seconds, Range{0, 90, false}, "90"},
		{"5m:4h", units.Seconds, Range{300, 14400, false}, "300:14400"},
		{"1d", units.Seconds, Range{0, 86400, false}, "86400"},
		{"2w", units.Seconds, Range{0, 1209600, false}, "1209600"},
		{"1.5h", units.Seconds, Range{0, 5400, false}, "5400"},
		{"9007199254740992", units.Count, Range{0, 1 << 53, false}, "9007199254740992"},
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
		unit   units.Unit
		reason string
	}{
		{"", units.Count, `invalid range "": want a number or START:END`},
		{"  ", units.Count, `invalid range "": want a number or START:END`},
		{":", units.Count, "want a number or START:END"},
		{"@", units.Count, "want a number or START:END"},
		{"@:", units.Count, "want a number or START:END"},
		{"~", units.Count, "want a colon after ~"},
		{"@~", units.Count, "want a colon after ~"},
		{"20:10", units.Count, "did you mean 10:20?"},
		{"-5", units.Count, "did you mean ~:-5?"},
		{"10:~", units.Count, "cannot be the end"},
		{"1-10", units.Count, "write a range with a colon, as in 1:10"},
		{"10:20:30", units.Count, "want at most one colon"},
		{"1e3", units.Count, `invalid range "1e3": want a number without a suffix`},
		{"0x10", units.Count, "want a number without a suffix"},
		{"10%", units.Count, "no percentages"},
		{"1 0", units.Count, "leave out the space"},
		{
			"10 :20",
			units.Count,
			`invalid range "10 :20": 10 : want a number without a suffix, such as 500; leave out the space`,
		},
		{"inf", units.Count, "want a number without a suffix"},
		{"nan", units.Count, "want a number without a suffix"},
		{"1,5", units.Count, "a number has no comma: write 1000, or 1.5 with a point"},
		{"@@5", units.Count, "want a number without a suffix"},
		{"--5:", units.Count, "want a number without a suffix"},
		{"1.2.3", units.Count, "want a number without a suffix"},
		{".", units.Count, "want a number without a suffix"},
		{"9007199254740993000", units.Count, "too large"},
		{strings.Repeat("9", 400), units.Count, "too large"},
		{"9000000G", units.Bytes, "too large"},
		{"10K", units.Count, "want a number without a suffix"},
		{"10KB", units.Bytes, "or with the suffix K, M, G, KiB, MiB or GiB"},
		{"10m", units.Bytes, "or with the suffix K, M, G, KiB, MiB or GiB"},
		{"10M", units.Seconds, "or one number with the suffix s, m, h, d or w"},
		{"1h30m", units.Seconds, "one number with the suffix s, m, h, d or w, such as 90m"},
		{"٣", units.Count, "want a number without a suffix"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			_, err := ParseRange(tt.text, tt.unit)
			if err == nil || !strings.Contains(err.Error(), tt.reason) {
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
		r, err := ParseRange(tt.text, units.Count)
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
		for _, unit := range []units.Unit{units.Count, units.Bytes, units.Seconds} {
			r, err := ParseRange(text, unit)
			if err != nil {
				continue
			}
			if r.Start > r.End || math.IsNaN(r.Start) || math.IsNaN(r.End) {
				t.Fatalf("%q: impossible range %+v", text, r)
			}
			again, err := ParseRange(r.String(), units.Count)
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
