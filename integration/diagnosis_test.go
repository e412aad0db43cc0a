//go:build integration

package integration

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// varying is what differs from run to run, and what docs/diagnosis.md leaves out.
var varying = []struct{ in, matches string }{
	{`\.\.\.`, `.*`},
	{`\([0-9A-F]{6,}\)`, `\([0-9A-F]+\)`},            // a queue ID
	{`\d+[smhdw](?: \d+[smhdw])?`, `\S+(?: \d+\S)?`}, // an age
	{`\d+(?:\.\d+)?`, `\d+(?:\.\d+)?`},
	{` +`, ` +`},
}

// verifyDiagnosis compares what docs/diagnosis.md shows of an incident with what the check prints for root.
func verifyDiagnosis(t *testing.T, incident, output string) {
	t.Helper()
	page, err := os.ReadFile("../docs/diagnosis.md")
	if err != nil {
		t.Fatal(err)
	}
	heading := "\n## " + strings.ToUpper(incident[:1]) + incident[1:] + "\n"
	_, section, found := strings.Cut(string(page), heading)
	if !found {
		t.Fatalf("docs/diagnosis.md has no %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	shown := regexp.MustCompile(`(?m)^ {4}(.+)$`).FindAllStringSubmatch(section, -1)
	if len(shown) == 0 {
		t.Errorf("docs/diagnosis.md shows nothing below %q", heading)
	}
	for _, line := range shown {
		if !regexp.MustCompile(`(?m)^` + patternOf(line[1])).MatchString(output) {
			t.Errorf("docs/diagnosis.md has\n%s\nthe check says\n%s", line[1], output)
		}
	}
}

// patternOf is a regular expression for lines that are as this one, but for what varies.
func patternOf(line string) string {
	var kinds []string
	for _, v := range varying {
		kinds = append(kinds, v.in)
	}
	var pattern strings.Builder
	end := 0
	for _, at := range regexp.MustCompile(strings.Join(kinds, "|")).FindAllStringIndex(line, -1) {
		pattern.WriteString(regexp.QuoteMeta(line[end:at[0]]))
		for _, v := range varying {
			if regexp.MustCompile(`^(?:` + v.in + `)$`).MatchString(line[at[0]:at[1]]) {
				pattern.WriteString(v.matches)
				break
			}
		}
		end = at[1]
	}
	return pattern.String() + regexp.QuoteMeta(line[end:])
}
