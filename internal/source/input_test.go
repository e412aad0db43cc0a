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
		input    Input
		messages int
		err      any // a value for errors.Is, or a pointer for errors.As
	}{
		{name: "JSON", input: Input{Path: deferred}, messages: 5},
		{name: "text", input: Input{Path: strings.TrimSuffix(deferred, "json") + "txt"}, messages: 5},
		{name: "text of an empty queue", input: Input{Path: filepath.Join(listings, "3.7.11", "empty.txt")}},
		{name: "long queue IDs", input: Input{Path: filepath.Join(listings, "3.7.11", "mixed.txt")}, messages: 10},
		{name: "no bytes", input: Input{Path: write("zero", "", 0)}, err: ErrEmptyInput},
		{name: "no bytes, allowed", input: Input{Path: write("zero", "", 0), AllowEmpty: true}},
		{name: "a newline alone", input: Input{Path: write("newline", " \n", 0)}, err: ErrEmptyInput},
		{name: "something else", input: Input{Path: write("else", "postqueue: fatal: x\n", 0), AllowEmpty: true}, err: new(*UnknownFormatError)},
		{name: "young enough", input: Input{Path: write("young", "Mail queue is empty\n", 4*time.Minute), MaxAge: 5 * time.Minute}},
		{name: "too old", input: Input{Path: write("old", "Mail queue is empty\n", 6*time.Minute), MaxAge: 5 * time.Minute}, err: new(*StaleError)},
		{name: "any age", input: Input{Path: write("ancient", "Mail queue is empty\n", 9999*time.Hour)}},
		{name: "from the future", input: Input{Path: write("future", "Mail queue is empty\n", -time.Minute), MaxAge: 5 * time.Minute}, err: new(*StaleError)},
		{name: "missing", input: Input{Path: filepath.Join(dir, "missing")}, err: os.ErrNotExist},
		{name: "a directory", input: Input{Path: dir, AllowEmpty: true}, err: unix.EISDIR},
		{name: "cut off", input: Input{Path: write("cut", "-Queue ID-  --Size-- \n", 0)}, err: ErrCutOff},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			visit, visited := collect()
			_, err := tt.input.Read(t.Context(), visit)
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
			if len(*visited) != tt.messages {
				t.Errorf("%d messages, want %d", len(*visited), tt.messages)
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
	_, err := (&Input{Path: fifo}).Read(ctx, func(*queue.Message) {})
	if !errors.Is(err, context.DeadlineExceeded) {
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
	summary, err := queue.Summarize(ctx, &Input{Path: "-", Stdin: r}, queue.Filter{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if summary.Total.Messages != 1 || !summary.Partial {
		t.Errorf("%d messages, partial %v", summary.Total.Messages, summary.Partial)
	}
}
