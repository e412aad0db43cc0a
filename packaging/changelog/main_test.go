package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRun(t *testing.T) {
	const epoch = "1767225600" // 1 January 2026
	tests := []struct {
		name, in, want string
	}{
		{"released and not", `# Changelog

## 0.2.0 - unreleased

- ` + "`--state`" + ` is new,
  and so is this line.

## 0.1.0 - 2025-12-31

First release.

- Everything that has been there from the beginning, in one sentence that is longer than a line.
`, `postfix-queue-monitor (0.2.0~rc1-1) unstable; urgency=medium

  * --state is new, and so is this line.

 -- The postfix-queue-monitor authors <authors@example.org>  Thu, 01 Jan 2026 00:00:00 +0000

postfix-queue-monitor (0.1.0-1) unstable; urgency=medium

  * Everything that has been there from the beginning, in one sentence that is
    longer than a line.

 -- The postfix-queue-monitor authors <authors@example.org>  Wed, 31 Dec 2025 00:00:00 +0000

`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			if err := run([]string{"0.2.0-rc1"}, epoch, strings.NewReader(tt.in), &out); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, out.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestRunRefuses(t *testing.T) {
	const heading = "## 0.1.0 - unreleased\n"
	tests := []struct {
		name, in, epoch string
		args            []string
		want            string
	}{
		{"no version", heading, "", nil, "want one argument"},
		{"no section", "# Changelog\n", "", []string{"1"}, "no section"},
		{"no date", "## 0.1.0\n", "", []string{"1"}, "invalid heading"},
		{"a wrong date", "## 0.1.0 - 31.12.2025\n", "", []string{"1"}, "invalid date"},
		{"a wrong epoch", heading, "x", []string{"1"}, "invalid SOURCE_DATE_EPOCH"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := run(tt.args, tt.epoch, strings.NewReader(tt.in), &strings.Builder{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
