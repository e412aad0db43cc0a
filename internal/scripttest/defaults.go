package scripttest

import (
	"maps"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/cli"
	"example.org/postfix-queue-monitor/internal/units"
)

// DefaultsAreDocumented fails unless the defaults in the usage text are these: those of the options that both
// programs have, and others by the names of their options.
func DefaultsAreDocumented(t *testing.T, common cli.Common, usage string, others map[string]string) {
	t.Helper()
	want := map[string]string{
		"source":  common.Source,
		"max-age": units.FormatDuration(time.Duration(common.MaxAge)),
		"stuck":   units.FormatDuration(time.Duration(common.Stuck)),
		"timeout": strconv.FormatFloat(time.Duration(common.Timeout).Seconds(), 'f', -1, 64),
	}
	maps.Copy(want, others)
	if diff := cmp.Diff(want, documentedDefaults(usage)); diff != "" {
		t.Errorf("defaults (-want +usage):\n%s", diff)
	}
}

// An option begins a line of the usage text. Its default follows the word "default", or stands before it:
// (default 8), (default 5m; 0: any age), none (default).
var (
	optionStart  = regexp.MustCompile(`^ +(?:-\w, )?--([a-z-]+)`)
	defaultAfter = regexp.MustCompile(`\(default ([^;)]+)`)
	defaultFirst = regexp.MustCompile(`(\S+) \(default\)`)
)

// documentedDefaults returns the defaults of options.
func documentedDefaults(usage string) map[string]string {
	texts := map[string]string{}
	option := ""
	for line := range strings.Lines(usage) {
		if start := optionStart.FindStringSubmatch(line); start != nil {
			option = start[1]
		} else if strings.TrimSpace(line) == "" {
			option = ""
		}
		texts[option] += " " + strings.TrimSpace(line)
	}
	delete(texts, "")
	defaults := map[string]string{}
	for option, text := range texts {
		for _, pattern := range []*regexp.Regexp{defaultAfter, defaultFirst} {
			if found := pattern.FindStringSubmatch(text); found != nil {
				defaults[option] = found[1]
			}
		}
	}
	return defaults
}
