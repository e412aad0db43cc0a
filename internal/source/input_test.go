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
		err      any // a value for errors.Is, or a pointer for errors.As
	}{
		{name: "JSON", input: input{path: deferred}, messages: 5},
		{name: "text", input: input{path: strings.TrimSuffix(deferred, "json") + "txt"}, messages: 5},
		{name: "text of an empty queue", input: input{path: filepath.Join(listings, "3.7.11", "empty.txt")}},
		{name: "long queue IDs", input: input{path: filepath.Join(listings, "3.7.11", "mixed.txt")}, messages: 10},
		{name: "no bytes", input: input{path: write("zero", "", 0)}, err: ErrEmptyInput},
		{name: "no bytes, allowed", input: input{path: write("zero", "", 0), allowEmpty: true}},
		{name: "a newline alone", input: input{path: write("newline", " \n", 0)}, err: ErrEmptyInput},
		{name: "something else", input: input{path: write("else", "postqueue: fatal: x\n", 0), allowEmpty: true}, err: new(*UnknownFormatError)},
		{name: "young enough", input: input{path: write("young", "Mail queue is empty\n", 4*time.Minute), maxAge: 5 * time.Minute}},
		{name: "too old", input: input{path: write("old", "Mail queue is empty\n", 6*time.Minute), maxAge: 5 * time.Minute}, err: new(*StaleError)},
		{name: "any age", input: input{path: write("ancient", "Mail queue is empty\n", 9999*time.Hour)}},
		{name: "from the future", input: input{path: write("future", "Mail queue is empty\n", -time.Minute), maxAge: 5 * time.Minute}, err: new(*StaleError)},
		{name: "missing", input: input{path: filepath.Join(dir, "missing")}, err: os.ErrNotExist},
		{name: "a directory", input: input{path: dir, allowEmpty: true}, err: unix.EISDIR},
		{name: "cut off", input: input{path: write("cut", "-Queue ID-  --Size-- \n", 0)}, err: ErrCutOff},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reading := tt.input.read(t.Context(), queue.Query{})[0]
			err := reading.Err
			messages := int64(0)
			if reading.Summary != nil {
				messages = reading.Summary.Total.Messages
			}
			switch want := tt.err.(type) {
			case nil:
				if err != nil {
					t.Error(err)
				}
			case error:
				if !errors.Is(err, want) {
					t.Errorf("error %v, want %v", err, want)
				}
			default:
				if !errors.As(err, want) {
					t.Errorf("error %v, want a %T", err, want)
				}
			}
			if messages != tt.messages {
				t.Errorf("%d messages, want %d", messages, tt.messages)
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
	if err := (&input{path: fifo}).read(ctx, queue.Query{})[0].Err; err == nil || !strings.Contains(err.Error(), "before the time was up") {
		t.Errorf("error %v", err)
	}
}

// Standard input that nobody writes to, and nobody closes, ends with the time.
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
	reading := (&input{path: "-", stdin: r}).read(ctx, queue.Query{})[0]
	if !errors.Is(reading.Err, context.DeadlineExceeded) {
		t.Errorf("error %v", reading.Err)
	}
	if summary := reading.Summary; summary.Total.Messages != 1 || !summary.Partial {
		t.Errorf("%d messages, partial %v", summary.Total.Messages, summary.Partial)
	}
}
