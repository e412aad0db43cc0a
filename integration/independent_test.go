//go:build integration

package integration

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.org/postfix-queue-monitor/internal/thresholds"
	"example.org/postfix-queue-monitor/internal/units"
)

// The tests of this file compare with programs that others have written for the same conventions.

const monitoringPlugin = "/usr/share/perl5/Monitoring/Plugin/Range.pm"

// perlRanges says of each line, SPECIFICATION and values with tabs between them, which values alert (A) or not (.), or
// that it refuses the specification (-).
const perlRanges = `
use strict; use warnings; no warnings;
use Monitoring::Plugin::Range;
$SIG{__WARN__} = sub {};
while (my $line = <STDIN>) {
	chomp $line;
	my ($text, @values) = split /\t/, $line, -1;
	my $range = Monitoring::Plugin::Range->parse_range_string($text);
	print defined $range ? join('', map { $range->check_range($_) ? 'A' : '.' } @values) : '-', "\n";
}
`

// rangeDifferences are what Monitoring::Plugin takes for a range and this project does not, and why not.
var rangeDifferences = map[string]*regexp.Regexp{
	"white space inside":        regexp.MustCompile(`\S\s+\S`),
	"exponents, as in 1e3":      regexp.MustCompile(`e`),
	"two points, as in 1.2.3":   regexp.MustCompile(`\.\d*\.`),
	"a point without any digit": regexp.MustCompile(`(^|[^\d])\.([^\d]|$)`),
}

// TestRangesOfMonitoringPlugin compares ranges with Perl's Monitoring::Plugin, which many checks use.
func TestRangesOfMonitoringPlugin(t *testing.T) {
	needFiles(t, "libmonitoring-plugin-perl", monitoringPlugin)
	values := []int64{-1001, -11, -10, -9, -1, 0, 1, 4, 5, 6, 9, 10, 11, 20, 21, 999, 1000, 1001, 1 << 40}
	specifications := generatedRanges()
	var input strings.Builder
	for _, text := range specifications {
		input.WriteString(text)
		for _, value := range values {
			fmt.Fprintf(&input, "\t%d", value)
		}
		input.WriteByte('\n')
	}
	r := command{stdin: input.String()}.run(t, "perl", "-e", perlRanges)
	answers := strings.Split(strings.TrimSuffix(r.stdout, "\n"), "\n")
	if r.exitCode != 0 || len(answers) != len(specifications) {
		t.Fatalf("%d answers to %d ranges: %s", len(answers), len(specifications), r.stderr)
	}
	both := 0
	seen := make(map[string]bool)
	for i, text := range specifications {
		ours, err := thresholds.ParseRange(text, units.Count)
		switch {
		case err != nil && answers[i] == "-":
		case err != nil:
			known := false
			for name, pattern := range rangeDifferences {
				if pattern.MatchString(text) {
					seen[name], known = true, true
				}
			}
			if !known {
				t.Errorf("%q is refused (%v), Monitoring::Plugin says %s", text, err, answers[i])
			}
		case answers[i] == "-":
			t.Errorf("%q is accepted, Monitoring::Plugin refuses it", text)
		default:
			both++
			var got strings.Builder
			for _, value := range values {
				got.WriteByte(map[bool]byte{true: 'A', false: '.'}[ours.Alerts(value)])
			}
			if got.String() != answers[i] {
				t.Errorf("%q alerts %s, with Monitoring::Plugin %s, of %d", text, got.String(), answers[i], values)
			}
		}
	}
	if both < 500 || len(seen) != len(rangeDifferences) {
		t.Errorf("%d ranges were compared, and the differences were %v", both, seen)
	}
	t.Logf("%d of %d specifications are ranges", both, len(specifications))
}

// generatedRanges returns ranges of all forms, and texts that are nearly one.
func generatedRanges() []string {
	numbers := strings.Fields("-1000 -10 -1 -0.5 0 0.5 .5 1 +5 5. 007 10 10.5 20 1000 1.2.3 1e3 .")
	var texts []string
	for _, at := range []string{"", "@"} {
		for _, start := range append(numbers, "", "~") {
			texts = append(texts, at+start, at+start+":")
			for _, end := range append(slices.Clone(numbers), "~") {
				texts = append(texts, at+start+":"+end)
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	const alphabet = "@~::0015.+-e "
	for range 5000 {
		text := make([]byte, 1+random.IntN(8))
		for i := range text {
			text[i] = alphabet[random.IntN(len(alphabet))]
		}
		texts = append(texts, string(text))
	}
	return texts
}
