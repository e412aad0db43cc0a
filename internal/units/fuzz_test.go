package units

import (
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
)

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"500", "-1.5", "10M", "64KiB", ".5G", "90m", "1w", "1e9", "", "+", "1 d", "10%", "1-2", "1,5",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, unit := range []Unit{Count, Bytes, Seconds} {
			value, err := unit.Parse(text)
			if err != nil {
				if err.Error() == "" || value != 0 {
					t.Errorf("%q: %v, error %q", text, value, err)
				}
				continue
			}
			if !(math.Abs(value) <= maxNumber) || value == 0 && math.Signbit(value) {
				t.Errorf("%q: %v", text, value)
			}
			// A limit that is shown can be typed again, unless it is in bytes.
			shown := strings.ReplaceAll(unit.FormatLimit(value), " ", "")
			if unit == Bytes && strings.Trim(shown, "-.0123456789") == "B" {
				continue
			}
			if again, err := unit.Parse(shown); err != nil || again != value {
				t.Errorf("%q: %v is shown as %q, which is %v, %v", text, value, shown, again, err)
			}
		}
		if d, err := ParseDuration(text); err == nil && (d < 0 || d > maxDuration) {
			t.Errorf("%q: %v", text, d)
		}
	})
}

func FuzzFormat(f *testing.F) {
	duration := regexp.MustCompile(`^\d+d( \d+h)?$|^\d+h( \d+m)?$|^\d+m( \d+s)?$|^\d+s$`)
	size := regexp.MustCompile(`^\d+ B$|^\d+ KiB$|^\d+(\.\d)? [MGTP]iB$`)
	f.Add(int64(0))
	f.Add(int64(35127296))
	f.Add(int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, n int64) {
		n &= math.MaxInt64
		if got := FormatDuration(time.Duration(n)); !duration.MatchString(got) {
			t.Errorf("%d ns: %q", n, got)
		}
		got := FormatSize(n)
		if !size.MatchString(got) {
			t.Errorf("%d bytes: %q", n, got)
		}
		// Rounded down: the next larger number is never shown as a smaller one.
		if text, unit, _ := strings.Cut(got, " "); unit == "KiB" || unit == "MiB" || unit == "GiB" {
			if value, err := Bytes.Parse(text + unit); err != nil || value > float64(n) {
				t.Errorf("%d bytes: %q is %v, %v", n, got, value, err)
			}
		}
	})
}
