package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
)

// newSpool makes a queue directory with one deferred message.
func newSpool(t *testing.T) *Spool {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"maildrop", "active", "incoming", "deferred/A", "hold", "corrupt", "defer/A", "public"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	deferMessage(t, dir, "A1")
	return &Spool{Dir: dir}
}

func deferMessage(t *testing.T, dir, id string) {
	t.Helper()
	file := sizeRec(50, 1) + rec('T', "7 0") + rec('S', "a@example.com") + rec('R', "b@example.org") + rec('M', "")
	writeFile(t, filepath.Join(dir, "deferred/A", id), file, 0o700)
	writeFile(t, filepath.Join(dir, "defer/A", id), "recipient=b@example.org\nreason=late\n\n", 0o600)
}

func writeFile(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// readSpool reads a spool and returns the IDs of its messages, each with its reason.
func readSpool(t *testing.T, s *Spool) (messages map[string]string, facts queue.Facts, err error) {
	t.Helper()
	messages = map[string]string{}
	facts, err = s.Read(t.Context(), queue.WithReasons, func(m *queue.Message) { messages[m.ID] = m.Recipients[0].Reason })
	return messages, facts, err
}

// What is no directory where a queue should be is not an empty queue. Root may
// have made links of the queues' directories, for another disk.
func TestSpoolThatIsNotAsUsual(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, dir string)
		want   string // part of the error; empty: the message is read
	}{
		{"as usual", func(*testing.T, string) {}, ""},
		{"queues that are links", func(t *testing.T, dir string) {
			t.Helper()
			for _, name := range []string{"deferred", "defer", "corrupt"} {
				rename(t, filepath.Join(dir, name), filepath.Join(dir, name+".real"))
				if err := os.Symlink(name+".real", filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}, ""},
		{"a queue that is a file", func(t *testing.T, dir string) {
			t.Helper()
			rename(t, filepath.Join(dir, "hold"), filepath.Join(dir, "x"))
			writeFile(t, filepath.Join(dir, "hold"), "", 0o700)
		}, "hold: not a directory"},
		{"a link that leads nowhere", func(t *testing.T, dir string) {
			t.Helper()
			rename(t, filepath.Join(dir, "hold"), filepath.Join(dir, "x"))
			if err := os.Symlink("nowhere", filepath.Join(dir, "hold")); err != nil {
				t.Fatal(err)
			}
		}, "is not a Postfix queue directory"},
		{"another directory", func(t *testing.T, dir string) {
			t.Helper()
			rename(t, filepath.Join(dir, "maildrop"), filepath.Join(dir, "x"))
		}, "is not a Postfix queue directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSpool(t)
			tt.change(t, s.Dir)
			messages, facts, err := readSpool(t, s)
			switch {
			case tt.want == "" && (err != nil || len(messages) != 1 || messages["A1"] != "late" || *facts.Corrupt != 0):
				t.Errorf("%v, %v", messages, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// Where a process may have few files open, fewer are read ahead.
func TestSpoolWithFewFiles(t *testing.T) {
	s := newSpool(t)
	const messages = 2000
	for i := range messages {
		deferMessage(t, s.Dir, fmt.Sprintf("A%X", i+2))
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = 60
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}()
	s.MaxOpenFiles = int(limit.Cur)
	if got, _, err := readSpool(t, s); err != nil || len(got) != messages+1 {
		t.Errorf("%d messages, %v", len(got), err)
	}
}
