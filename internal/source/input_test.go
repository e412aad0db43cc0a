package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/snapshot"
)

func TestInput(t *testing.T) {
	deferred := filepath.Join(listings, "3.7.11", "deferred.json")
	dir := t.TempDir()
	write := func(name, content string, age time.Duration) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name     string
		input    input
		messages int64
		err      error
		errText  string // part of the error, if it is not one that err is
	}{
		{name: "JSON", input: input{path: deferred}, messages: 5},
		{name: "text", input: input{path: strings.TrimSuffix(deferred, "json") + "txt"}, messages: 5},
		{name: "text of an empty queue", input: input{path: filepath.Join(listings, "3.7.11", "empty.txt")}},
		{name: "long queue IDs", input: input{path: filepath.Join(listings, "3.7.11", "mixed.txt")}, messages: 10},
		{name: "no bytes", input: input{path: write("zero", "", 0)}, err: errEmptyInput},
		{name: "no bytes, allowed", input: input{path: write("zero", "", 0), allowEmpty: true}},
		{name: "a newline alone", input: input{path: write("newline", " \n", 0)}, err: errEmptyInput},
		{name: "white space of other kinds", input: input{path: write("vt", "\v\n\u0085", 0)}, err: errNotAListing},
		{
			name:  "white space of other kinds, empty allowed",
			input: input{path: write("vt", "\v\n\u0085", 0), allowEmpty: true}, err: errNotAListing,
		},
		{
			name:    "a warning alone",
			input:   input{path: write("warning", "postqueue: warning: x\n", 0)},
			errText: "there is no listing, Postfix says: postqueue: warning: x; if the queue is empty, add --allow-empty",
		},
		{
			name:  "a warning alone, empty allowed",
			input: input{path: write("warning", "postqueue: warning: x\n", 0), allowEmpty: true},
		},
		{
			name:    "something else",
			input:   input{path: write("else", "postqueue: fatal: x\n", 0), allowEmpty: true},
			errText: "there is no listing, Postfix says: postqueue: fatal: x",
		},
		{
			name:  "young enough",
			input: input{path: write("young", "Mail queue is empty\n", 4*time.Minute), maxAge: 5 * time.Minute},
		},
		{
			name:    "too old",
			input:   input{path: write("old", "Mail queue is empty\n", 6*time.Minute), maxAge: 5 * time.Minute},
			errText: "was written 6m ago, more than 5m",
		},
		{name: "any age", input: input{path: write("ancient", "Mail queue is empty\n", 9999*time.Hour)}},
		{
			name:    "from the future",
			input:   input{path: write("future", "Mail queue is empty\n", -time.Minute), maxAge: 5 * time.Minute},
			errText: "s in the future; set the clock right",
		},
		{name: "missing", input: input{path: filepath.Join(dir, "missing")}, err: os.ErrNotExist},
		{name: "a directory", input: input{path: dir, allowEmpty: true}, err: unix.EISDIR},
		{name: "cut off", input: input{path: write("cut", "-Queue ID-  --Size-- \n", 0)}, err: errCutOff},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			readings, err := tt.input.readings(t.Context(), queue.Query{})
			messages := int64(0)
			if err == nil {
				err = readings[0].Err
				messages = readings[0].Summary.Total.Messages
			}
			switch {
			case tt.errText != "":
				if err == nil || !strings.Contains(err.Error(), tt.errText) {
					t.Errorf("error %v, want one with %q", err, tt.errText)
				}
			case !errors.Is(err, tt.err):
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if messages != tt.messages {
				t.Errorf("%d messages, want %d", messages, tt.messages)
			}
		})
	}
}

func TestInputIsAsOldAsItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "listing")
	writeFile(t, path, "Mail queue is empty\n", 0o600)
	when := time.Unix(1_700_000_000, 0)
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
	readings, err := (&input{path: path}).readings(t.Context(), queue.Query{})
	if err != nil || !readings[0].Summary.AsOf.Equal(when) {
		t.Errorf("%v, %v; want %v", readings, err, when)
	}
}

func TestInputThatIsASnapshot(t *testing.T) {
	// snapshotOf returns a snapshot of an empty queue, taken some time ago.
	snapshotOf := func(t *testing.T, age time.Duration, q queue.Query) string {
		t.Helper()
		readings, err := (&input{path: filepath.Join(listings, "3.7.11", "empty.txt")}).readings(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		readings[0].Instance.Name = "mx1"
		readings[0].Summary.AsOf = time.Now().Add(-age)
		var text strings.Builder
		if err := snapshot.Write(&text, readings, time.Now()); err != nil {
			t.Fatal(err)
		}
		return text.String()
	}
	withReasons := queue.Query{Reasons: true}
	tests := []struct {
		name    string
		age     time.Duration
		written queue.Query
		asked   queue.Query
		cut     int // bytes at the end
		err     string
	}{
		{name: "young enough", age: time.Minute},
		{name: "with reasons", age: time.Minute, written: withReasons, asked: withReasons},
		{name: "too old", age: 6 * time.Minute, err: "PATH was written 6m ago, more than 5m"},
		{
			name:  "without reasons",
			age:   time.Minute,
			asked: withReasons,
			err: "PATH does not say why mail is deferred, or uses other categories than this version; " +
				"write it with --by-reason",
		},
		{
			name:  "a filter that comes too late",
			age:   time.Minute,
			asked: queue.Query{Filter: queue.Filter{OlderThan: time.Hour}},
			err:   "a snapshot has numbers but no messages; filter when it is written",
		},
		{name: "cut off", cut: 10, err: "PATH: the snapshot is damaged, cut off or of another version"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "snapshot.json")
			text := snapshotOf(t, tt.age, tt.written)
			writeFile(t, path, text[:len(text)-tt.cut], 0o600)
			readings, err := (&input{path: path, maxAge: 5 * time.Minute}).readings(t.Context(), tt.asked)
			said := strings.ReplaceAll(errorText(err), path, "PATH")
			if (tt.err == "") != (err == nil) || !strings.HasPrefix(said, tt.err) {
				t.Fatalf("error %q, want %q", said, tt.err)
			}
			if err == nil && (len(readings) != 1 || readings[0].Instance.Name != "mx1" || !readings[0].Complete()) {
				t.Errorf("readings %+v", readings)
			}
		})
	}
}

func TestInputDoesNotWaitForAWriterOfAFIFO(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := (&input{path: fifo}).readings(ctx, queue.Query{}); err == nil ||
		!strings.Contains(err.Error(), "before the time was up") {
		t.Errorf("error %v", err)
	}
}

// If standard input stays open without data, reading ends with the context.
func TestInputEndsWithItsContext(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := w.WriteString(`{"queue_name": "hold", "arrival_time": 5, "message_size": 8}` + "\n{"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	readings, err := (&input{path: "-", stdin: r}).readings(ctx, queue.Query{})
	if err != nil {
		t.Fatal(err)
	}
	reading := readings[0]
	if !errors.Is(reading.Err, context.DeadlineExceeded) {
		t.Errorf("error %v", reading.Err)
	}
	if summary := reading.Summary; summary.Total.Messages != 1 || !summary.Partial {
		t.Errorf("%d messages, partial %v", summary.Total.Messages, summary.Partial)
	}
}
