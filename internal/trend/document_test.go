package trend

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/queue"
)

// full returns the largest document that there can be.
func full(t testing.TB) document {
	t.Helper()
	d := document{Version: formatVersion, BootID: strings.Repeat("x", 36), Series: map[Key]series{}}
	for i := range maxSeries {
		var s series
		for range maxSamples {
			s = append(s, sample{1 << 50, 1 << 50, math.MaxInt64})
		}
		d.Series[NewKey(queue.Instance{Name: fmt.Sprint(i)}, "", queue.Filter{})] = s
	}
	return d
}

func TestDocumentIsReadBack(t *testing.T) {
	for _, d := range []document{full(t), {Version: formatVersion, BootID: "b", Series: map[Key]series{}}} {
		text, err := d.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%d bytes: %v", len(text), err)
		}
		if diff := cmp.Diff(d, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestDamagedDocuments(t *testing.T) {
	const key = "00112233445566778899aabbccddeeff"
	one := `{"wall_ms":1,"boot_ms":1,"emails":1}`
	document := func(series string) string { return `{"postfix_queue_state":1,"boot":"b","series":` + series + `}` }
	with := func(member, value string) string {
		return strings.Replace(one, `"`+member+`":1`, `"`+member+`":`+value, 1)
	}
	samples := func(list ...string) string { return document(`{"` + key + `":[` + strings.Join(list, ",") + `]}`) }
	if _, err := decode(strings.NewReader(samples(one))); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":              "",
		"of another program": `{"log-driver": "journald"}`,
		"an empty object":    `{}`,
		"null":               `null`,
		"cut off":            samples(one)[:60],
		"more behind it":     document(`{}`) + `}`,
		"two":                document(`{}`) + document(`{}`),
		"another version":    strings.Replace(document(`{}`), ":1", ":2", 1),
		"another member":     strings.Replace(document(`{}`), "{", `{"x":1,`, 1),
		"a name as a key":    document(`{"local":[` + one + `]}`),
		"no samples":         samples(),
		"null samples":       document(`{"` + key + `":null}`),
		"too many samples":   samples(slices.Repeat([]string{one}, maxSamples+1)...),
		"not in order":       samples(with("boot_ms", "2"), one),
		"fewer than none":    samples(with("emails", "-1")),
		"before the boot":    samples(with("boot_ms", "-1")),
		"the end of time":    samples(with("wall_ms", "9223372036854775807")),
		"a fraction":         samples(with("emails", "1.5")),
		"too large":          document(`{}`) + strings.Repeat(" ", maxBytes),
		"deep":               strings.Repeat("[", maxBytes-1),
	} {
		t.Run(name, func(t *testing.T) {
			if d, err := decode(strings.NewReader(text)); err == nil {
				t.Errorf("got %+v", d)
			}
		})
	}
}

// Whatever a file has in it, the next one is whole.
func FuzzDocument(f *testing.F) {
	d, _ := document{}.record(at(0), map[Key]int64{NewKey(queue.Instance{Name: "a"}, "", queue.Filter{}): 7})
	d, _ = d.record(at(time.Minute), map[Key]int64{NewKey(queue.Instance{Name: "a"}, "", queue.Filter{}): 9})
	text, err := d.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(bytes.Replace(text, []byte(`"emails":7`), []byte(`"emails":9223372036854775807`), 1))
	f.Add([]byte(`{"postfix_queue_state":1,"boot":"a","series":{}}`))
	f.Add([]byte(`{"postfix_queue_state":1,"boot":"a","series":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := decode(bytes.NewReader(text))
		if err != nil {
			return
		}
		for _, now := range []Clock{at(0), at(2 * time.Minute), at(-time.Hour), {BootID: "a"}} {
			before := maps.Clone(d.Series)
			emails := map[Key]int64{NewKey(queue.Instance{Name: "a"}, "", queue.Filter{}): 8}
			for key := range d.Series {
				emails[key] = 8
			}
			next, growth := d.record(now, emails)
			for key, g := range growth {
				if left, known := Until(g, 8, 100); known && (left < 0 || left > horizon) {
					t.Errorf("%s: %v", key, left)
				}
				if g.PerHour > 1<<53 || g.PerHour < -1<<53 {
					t.Errorf("%s: %+v", key, g)
				}
			}
			encoded, err := next.encode()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := decode(bytes.NewReader(encoded)); err != nil || !cmp.Equal(got, next) {
				t.Errorf("%v: %s", err, encoded)
			}
			if !cmp.Equal(before, d.Series) {
				t.Error("the old document has changed")
			}
		}
	})
}
