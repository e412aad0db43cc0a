// Command changelog writes CHANGELOG.md as the changelog of a Debian package (deb-changelog(5)).
//
// Usage: changelog VERSION <CHANGELOG.md. VERSION is that of the first section, which has no date before it is
// released: its date is then SOURCE_DATE_EPOCH.
package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	pack       = "postfix-queue-monitor"
	maintainer = "The postfix-queue-monitor authors <authors@example.org>"
	width      = 80 // of a line, as lintian wants it
)

func main() {
	if err := run(os.Args[1:], os.Getenv("SOURCE_DATE_EPOCH"), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "changelog:", err)
		os.Exit(1)
	}
}

func run(args []string, epoch string, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("want one argument, the version, not %d", len(args))
	}
	seconds, err := strconv.ParseInt(cmp.Or(epoch, "0"), 10, 64)
	if err != nil {
		return fmt.Errorf("invalid SOURCE_DATE_EPOCH: %w", err)
	}
	releases, err := parse(in)
	if err != nil {
		return err
	}
	releases[0].version = args[0]
	for _, r := range releases {
		if r.date.IsZero() {
			r.date = time.Unix(seconds, 0).UTC()
		}
		if _, err := io.WriteString(out, r.debian()); err != nil {
			return err
		}
	}
	return nil
}

// release is a section of CHANGELOG.md.
type release struct {
	version string
	date    time.Time // zero: not released
	changes []string
}

// parse reads the sections, "## VERSION - DATE" with a list below. Other text is skipped.
func parse(in io.Reader) ([]release, error) {
	var releases []release
	list := false // whether the line before is part of the list
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := lines.Text()
		heading, isHeading := strings.CutPrefix(line, "## ")
		change, isChange := strings.CutPrefix(line, "- ")
		switch {
		case isHeading:
			r, err := parseHeading(heading)
			if err != nil {
				return nil, err
			}
			releases = append(releases, r)
			list = false
		case len(releases) == 0:
		case isChange:
			r := &releases[len(releases)-1]
			r.changes = append(r.changes, change)
			list = true
		case list && strings.HasPrefix(line, "  "):
			r := &releases[len(releases)-1]
			r.changes[len(r.changes)-1] += " " + strings.TrimSpace(line)
		default:
			list = false
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(releases) == 0 {
		return nil, fmt.Errorf(`no section: want a line such as "## 1.0.0 - 2026-01-31"`)
	}
	return releases, nil
}

func parseHeading(text string) (release, error) {
	version, date, ok := strings.Cut(text, " - ")
	if !ok {
		return release{}, fmt.Errorf(`invalid heading "## %s": want "## VERSION - DATE"`, text)
	}
	if date == "unreleased" {
		return release{version: version}, nil
	}
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return release{}, fmt.Errorf(`invalid date %q: want one such as 2026-01-31, or "unreleased"`, date)
	}
	return release{version: version, date: day}, nil
}

// debian formats the release. A pre-release comes before its release: 1.0.0~rc1.
func (r release) debian() string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s (%s-1) unstable; urgency=medium\n\n", pack, strings.Replace(r.version, "-", "~", 1))
	for _, change := range r.changes {
		b.WriteString(wrap(strings.ReplaceAll(change, "`", ""), "  * ", "    "))
	}
	fmt.Fprintf(b, "\n -- %s  %s\n\n", maintainer, r.date.Format(time.RFC1123Z))
	return b.String()
}

// wrap fills lines with the words of the text, the first line after one prefix, all others after another.
func wrap(text, first, others string) string {
	b := &strings.Builder{}
	line := first
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == first || line == others:
			line += word
		case len(line)+1+len(word) > width:
			b.WriteString(line + "\n")
			line = others + word
		default:
			line += " " + word
		}
	}
	b.WriteString(line + "\n")
	return b.String()
}
