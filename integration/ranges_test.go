//go:build integration

package integration

import (
	"fmt"
	"strings"
	"testing"
)

// rangeTable says which lengths of a queue alert (A) and which do not (.): those of rangeLengths, in
// their order.
var rangeTable = map[string]string{
	"10":     ".....AAAA",
	":10":    ".....AAAA",
	"0:10":   ".....AAAA",
	"10:":    "AAAA.....",
	"~:10":   ".....AAAA",
	"10:20":  "AAAA...AA",
	"-10:10": ".....AAAA",
	"1.5":    ".AAAAAAAA",
	"@10:20": "....AAA..",
	"@10":    "AAAAA....",
	"@:10":   "AAAAA....",
	"@10:":   "....AAAAA",
	"@~:10":  "AAAAA....",
	"@~:":    "AAAAAAAAA",
	"~:":     ".........",
	"1:":     "A........",
	"-1:":    ".........",
	"5:5":    "AA.AAAAAA",
	"@5:5":   "..A......",
	"0":      ".AAAAAAAA",
	"0:0":    ".AAAAAAAA",
	"@0":     "A........",
	"@0:0":   "A........",
	"1000:":  "AAAAAAAA.",
}

var rangeLengths = []int{0, 4, 5, 9, 10, 11, 20, 21, 1000}

// rangeForms are the ways to say a range, with the state that it makes when it alerts.
var rangeForms = map[string]struct {
	args  func(text string) []string
	state string
}{
	"-c R":        {func(text string) []string { return []string{"-c", text} }, "CRITICAL"},
	"-w R":        {func(text string) []string { return []string{"-w", text} }, "WARNING"},
	"-wR":         {func(text string) []string { return []string{"-w" + text} }, "WARNING"},
	"--warning=R": {func(text string) []string { return []string{"--warning=" + text} }, "WARNING"},
	"--warning R": {func(text string) []string { return []string{"--warning", text} }, "WARNING"},
}

func TestRanges(t *testing.T) {
	listings := make(map[int]string)
	for _, length := range rangeLengths {
		listings[length] = generateListing(t, length)
	}
	for text, want := range rangeTable {
		t.Run(text, func(t *testing.T) {
			for name, form := range rangeForms {
				var got strings.Builder
				for _, length := range rangeLengths {
					a := root.check(t, append(form.args(text), "--allow-empty", "--input", listings[length])...)
					switch a.state {
					case "OK":
						got.WriteByte('.')
					case form.state:
						got.WriteByte('A')
					default:
						t.Errorf("%s, %d messages: want OK or %s, got %s", name, length, form.state, a)
					}
					if a.perf["emails"] != int64(length) {
						t.Errorf("%s, %d messages: got %s", name, length, a)
					}
				}
				if got.String() != want {
					t.Errorf("%s alerts at %v:\ngot  %s\nwant %s", name, rangeLengths, got.String(), want)
				}
			}
		})
	}
}

// TestRangesTogether gives a range for each level: the worse one that alerts decides the state.
func TestRangesTogether(t *testing.T) {
	tests := map[string]struct {
		args []string
		want map[int]string // state by length of the queue
	}{
		"nested": {
			args: []string{"-w", "5", "-c", "10"},
			want: map[int]string{5: "OK", 9: "WARNING", 10: "WARNING", 11: "CRITICAL"},
		},
		"nested, reversed": {
			args: []string{"-w", "10", "-c", "5"},
			want: map[int]string{5: "OK", 9: "CRITICAL", 11: "CRITICAL"},
		},
		"both sides": {
			args: []string{"-w", "5:20", "-c", "4:1000"},
			want: map[int]string{
				0: "CRITICAL", 4: "WARNING", 5: "OK", 20: "OK", 21: "WARNING", 1000: "WARNING",
			},
		},
		"of two metrics": {
			args: []string{"-w", "5", "-c", "size=" + fmt.Sprint(20*generatedSizeBytes/1024)},
			want: map[int]string{5: "OK", 9: "WARNING", 20: "CRITICAL", 21: "CRITICAL"},
		},
		"of another metric": {
			args: []string{"-c", "deferred=@1"},
			want: map[int]string{0: "CRITICAL", 4: "CRITICAL", 5: "CRITICAL", 10: "OK"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for length, want := range test.want {
				a := root.check(t, append(test.args, "--allow-empty", "--input", generateListing(t, length))...)
				if a.state != want {
					t.Errorf("%d messages: want %s, got %s", length, want, a)
				}
			}
		})
	}
}

// refused reports whether the arguments were refused.
func (a answer) refused() bool {
	return a.state == "UNKNOWN" && len(a.perf) == 0 && strings.Count(a.stdout, "\n") == 1
}

// TestNoRanges gives what must be refused, not guessed.
func TestNoRanges(t *testing.T) {
	listing := generateListing(t, 5)
	for _, text := range []string{
		"", " ", ":", "@", "@:", "~", "20:10", "10:~", "1-10", "10:20:30",
		"1e3", "0x10", "10%", "1 0", "inf", "nan", "abc",
		"1" + strings.Repeat("0", 400), "10,5", "@@5", "-1", "emails=", "=5", "nothing=5", "size=5X", "age=5y",
	} {
		for _, option := range []string{"--warning=", "--critical="} {
			if a := root.check(t, option+text, "--input", listing); !a.refused() {
				t.Errorf("%s%s: want UNKNOWN and one line, got %s", option, text, a)
			}
		}
	}
	for name, args := range map[string][]string{
		"forgotten":              {"-w", "-c", "5"},
		"forgotten at the end":   {"-c", "5", "-w"},
		"twice for one metric":   {"-w", "5", "-w", "emails=6"},
		"without its option":     {"5"},
		"of an option with typo": {"--warn", "5"},
	} {
		t.Run(name, func(t *testing.T) {
			if a := root.check(t, append(args, "--input="+listing)...); !a.refused() {
				t.Errorf("want UNKNOWN and one line, got %s", a)
			}
		})
	}
}
