package emit

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/queue"
)

// Any name of an instance and any accepted tag give the same series and values as
// harmless ones do.
func FuzzFormats(f *testing.F) {
	f.Add("local", "berlin")
	f.Add(hostile, hostile)
	f.Add("", " ")
	f.Add("\xff\x00\u0085\u2028\r\n", "a|#b:c,d;e=f g\\")
	f.Add("a\nemails 9 9\nb", "~a")
	f.Fuzz(func(t *testing.T, name, value string) {
		for _, formatName := range FormatNames() {
			if formatName == "json" && name == "" {
				continue // no instance has this name, and a snapshot with it is damaged
			}
			for _, style := range TagStyles() {
				style := TagStyle(style)
				if lookup(t, formatName).CheckTags(style, nil) == nil {
					checkHarmless(t, formatName, style, name, value)
				}
			}
		}
	})
}

func checkHarmless(t *testing.T, formatName string, style TagStyle, name, value string) {
	t.Helper()
	const plainName, plainValue = "PLAINNAME", "PLAINVALUE"
	o := options()
	o.TagStyle = style
	encodeAs := func(name, value string) map[string]string {
		if tags := []Tag{{"site", value}}; lookup(t, formatName).CheckTags(style, tags) == nil {
			o.Tags = tags
		}
		r := readings()[0]
		r.Instance.Name = name
		return decode(t, formatName, encode(t, formatName, []queue.Reading{r}, o))
	}
	// A value that is refused is never written, so it is the plain one here.
	if lookup(t, formatName).CheckTags(style, []Tag{{"site", value}}) != nil {
		value = plainValue
	}
	want := map[string]string{}
	for series, number := range encodeAs(plainName, plainValue) {
		tag := `instance_name="` + plainName + `"`
		if strings.Contains(series, tag) {
			series = strings.Replace(series, tag, "instance_name="+strconv.Quote(readAs(formatName, style, name)), 1)
		} else {
			series = strings.Replace(series, plainName, partOfName(name), 1)
		}
		series = strings.Replace(series, `site="`+plainValue+`"`, "site="+strconv.Quote(value), 1)
		want[series] = number
	}
	if len(want) == 0 {
		t.Fatalf("%s: nothing is written", formatName)
	}
	if diff := cmp.Diff(want, encodeAs(name, value)); diff != "" {
		t.Errorf("%s, style %s, instance %q (-want +got):\n%s", formatName, style, name, diff)
	}
}

// readAs returns how the name of an instance is read back from a tag.
func readAs(formatName string, style TagStyle, name string) string {
	switch {
	case formatName == "json":
		return string([]rune(name))
	case formatName == "prometheus":
		return strings.ReplaceAll(strings.ToValidUTF8(name, "\uFFFD"), "\x00", "\uFFFD")
	case name == "":
		return "_"
	case style != TagsNone:
		return regexp.MustCompile(`[^A-Za-z0-9_./-]`).ReplaceAllString(name, "_")
	}
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cc, r) || r == '\\' {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
}

// partOfName returns the name of an instance as a part of a metric's name.
func partOfName(name string) string {
	if name == "" {
		return "_"
	}
	return regexp.MustCompile(`[^A-Za-z0-9_-]`).ReplaceAllString(name, "_")
}
