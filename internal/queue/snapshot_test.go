package queue

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func snapshotText(t *testing.T) string {
	t.Helper()
	s, err := Summarize(t.Context(), messages{list: testQueue()}, Query{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteSnapshot(&b, []Reading{{Instance: Instance{Name: "mx1"}, Summary: s}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A snapshot that is cut off anywhere, that something follows, or that is of
// another kind, is refused.
func TestReadSnapshotRefusals(t *testing.T) {
	whole := snapshotText(t)
	if _, _, err := ReadSnapshot(strings.NewReader(whole), time.Now()); err != nil {
		t.Fatal(err)
	}
	for end := range strings.TrimSpace(whole) {
		if _, _, err := ReadSnapshot(strings.NewReader(whole[:end]), time.Now()); !errors.Is(err, ErrForeignSnapshot) {
			t.Fatalf("cut off after %d bytes: %v", end, err)
		}
	}
	tests := map[string]string{
		"one without end":      whole[:1] + `"x": "` + strings.Repeat("x", maxSnapshot) + `", ` + whole[1:],
		"two of them":          whole + whole,
		"another version":      strings.Replace(whole, `"version": 1`, `"version": 2`, 1),
		"another format":       strings.Replace(whole, SnapshotFormat, "x", 1),
		"no instance":          `{"format": "` + SnapshotFormat + `", "version": 1, "instances": []}`,
		"a nameless instance":  strings.Replace(whole, `"name": "mx1"`, `"name": ""`, 1),
		"two alike in metrics": `{"format": "` + SnapshotFormat + `", "version": 1, "instances": [{"name": "mx.1", "error": "x"}, {"name": "mx_1", "error": "x"}]}`,
		"no numbers":           `{"format": "` + SnapshotFormat + `", "version": 1, "instances": [{"name": "x", "up": true}]}`,
		"up, and down":         strings.Replace(whole, `"up": true`, `"up": true, "down": "x"`, 1),
		"numbers, and failed":  strings.Replace(whole, `"up": true`, `"up": true, "error": "x"`, 1),
		"a negative number":    strings.Replace(whole, `"messages": 5`, `"messages": -5`, 1),
		"a text for a number":  strings.Replace(whole, `"messages": 5`, `"messages": "5"`, 1),
		"a number too large":   strings.Replace(whole, `"messages": 5`, `"messages": 5e99`, 1),
	}
	for name, doc := range tests {
		if _, _, err := ReadSnapshot(strings.NewReader(doc), time.Now()); !errors.Is(err, ErrForeignSnapshot) {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("disk")
	if _, _, err := ReadSnapshot(iotest.ErrReader(broken), time.Now()); !errors.Is(err, broken) || errors.Is(err, ErrForeignSnapshot) {
		t.Errorf("a disk that fails: %v", err)
	}
}

// Age goes on after the snapshot was taken.
func TestSnapshotAges(t *testing.T) {
	later := time.Now().Add(time.Hour)
	readings, _, err := ReadSnapshot(strings.NewReader(snapshotText(t)), later)
	if err != nil {
		t.Fatal(err)
	}
	if got := values(readings[0].Summary)["age"]; got != 180 {
		t.Errorf("age %d minutes, want 180", got)
	}
}

func FuzzReadSnapshot(f *testing.F) {
	f.Add([]byte(`{"format": "postfix-queue-snapshot", "version": 1, "taken": 5, "instances": [{"name": "x", "up": true,
		"total": {"messages": 1, "oldest_arrival": -5}, "queues": {"hold": {"messages": 1}}}]}`))
	f.Add([]byte(`{"format": "postfix-queue-snapshot", "version": 1, "instances": [{"name": "x", "error": "y"}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		readings, _, err := ReadSnapshot(bytes.NewReader(doc), time.Unix(100, 0))
		if err != nil {
			return
		}
		for _, r := range readings {
			for _, m := range Metrics() {
				if v, known := m.Value(r.Summary); known && v < 0 {
					t.Errorf("%s is %d", m.Name, v)
				}
			}
		}
	})
}
