package units

import (
	"math"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	tests := map[string]time.Duration{
		"0":   0,
		"8":   8 * time.Second,
		"0.5": time.Second / 2,
		"5m":  5 * time.Minute,
		"36h": 36 * time.Hour,
		"1w":  168 * time.Hour,
	}
	for text, want := range tests {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "5x", "m", "1h30m", "99999w", "1e2"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	tests := map[time.Duration]string{
		0: "0s", 999 * time.Millisecond: "0s", 59 * time.Second: "59s", time.Minute: "1m", 62 * time.Second: "1m 2s",
		time.Hour: "1h",
		2*time.Hour + 5*time.Minute + 9*time.Second: "2h 5m",
		76*time.Hour + 59*time.Minute:               "3d 4h",
		24 * time.Hour:                              "1d",
	}
	for d, want := range tests {
		if got := FormatDuration(d); got != want {
			t.Errorf("%d ns: got %q, want %q", d, got, want)
		}
	}
}

func TestFormatSize(t *testing.T) {
	tests := map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1 KiB", 60416: "59 KiB", 1048575: "1023 KiB", 1 << 20: "1 MiB",
		35127296: "33.5 MiB", 1<<30 - 1: "1023.9 MiB", 1 << 30: "1 GiB", 3 << 40: "3 TiB", math.MaxInt64: "8191.9 PiB",
	}
	for size, want := range tests {
		if got := FormatSize(size); got != want {
			t.Errorf("%d: got %q, want %q", size, got, want)
		}
	}
}

func TestFormatLimit(t *testing.T) {
	tests := []struct {
		unit  Unit
		limit float64
		want  string
	}{
		{Count, 1500, "1500"},
		{Count, 1.5, "1.5"},
		{Bytes, 10 << 20, "10 MiB"},
		{Bytes, 3 << 29, "1536 MiB"},
		{Bytes, 1000, "1000 B"},
		{Bytes, 0, "0 B"},
		{Seconds, 14400, "4h"},
		{Seconds, 90, "90s"},
		{Seconds, 1.5, "1.5 s"},
		{Seconds, 172800, "2d"},
	}
	for _, tt := range tests {
		if got := tt.unit.FormatLimit(tt.limit); got != tt.want {
			t.Errorf("%v %s: got %q, want %q", tt.limit, tt.unit, got, tt.want)
		}
	}
}

func TestPlural(t *testing.T) {
	for n, want := range map[int64]string{0: "0 emails", 1: "1 email", 2: "2 emails"} {
		if got := Plural(n, "email"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
