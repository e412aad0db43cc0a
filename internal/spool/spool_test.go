package spool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

// asOrdinaryUser gives up the rights of root until the test ends: root may read
// and enter what is closed to others. Call it before the test makes its files.
func asOrdinaryUser(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	seteuid(t, ordinaryUser)
	t.Cleanup(func() { seteuid(t, 0) })
}

const ordinaryUser = 65534 // nobody

func seteuid(t *testing.T, user int) {
	t.Helper()
	if err := syscall.Seteuid(user); err != nil {
		t.Fatal(err)
	}
}

// closeFile closes a file or directory to this user.
func closeFile(t *testing.T, path string) {
	t.Helper()
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(path, 0o700) }) // for the removal
}

func symlink(t *testing.T, leadsTo, path string) {
	t.Helper()
	if err := os.Symlink(leadsTo, path); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// If a queue's directory is missing, closed or not a directory, the queue does not
// pass for empty. Root may have made it a link, for another disk.
func TestSpoolThatIsNotAsUsual(t *testing.T) {
	const denied = ": only root and the mail owner may; use --source postqueue"
	tests := []struct {
		name   string
		change func(t *testing.T, dir string)
		want   string // the error; empty: the message is read
	}{
		{
			name:   "as usual",
			change: func(*testing.T, string) {},
		},
		{
			name: "queues that are links",
			change: func(t *testing.T, dir string) {
				t.Helper()
				for _, name := range []string{"deferred", "defer", "corrupt"} {
					rename(t, filepath.Join(dir, name), filepath.Join(dir, name+".real"))
					symlink(t, name+".real", filepath.Join(dir, name))
				}
			},
		},
		{
			name: "no queue of corrupt messages",
			change: func(t *testing.T, dir string) {
				t.Helper()
				rename(t, filepath.Join(dir, "corrupt"), filepath.Join(dir, "x"))
			},
		},
		{
			name: "a file with the name of a hash directory",
			change: func(t *testing.T, dir string) {
				t.Helper()
				writeFile(t, filepath.Join(dir, "deferred", "B"), "", 0o700)
			},
		},
		{
			name: "a queue that is a file",
			change: func(t *testing.T, dir string) {
				t.Helper()
				rename(t, filepath.Join(dir, "hold"), filepath.Join(dir, "x"))
				writeFile(t, filepath.Join(dir, "hold"), "", 0o700)
			},
			want: "cannot read DIR/hold: not a directory",
		},
		{
			name: "defer logs that are a file",
			change: func(t *testing.T, dir string) {
				t.Helper()
				rename(t, filepath.Join(dir, "defer"), filepath.Join(dir, "x"))
				writeFile(t, filepath.Join(dir, "defer"), "", 0o700)
			},
			want: "cannot read DIR/defer: not a directory",
		},
		{
			name: "a link that leads nowhere",
			change: func(t *testing.T, dir string) {
				t.Helper()
				rename(t, filepath.Join(dir, "hold"), filepath.Join(dir, "x"))
				symlink(t, "nowhere", filepath.Join(dir, "hold"))
			},
			want: "DIR is not a Postfix queue directory; name the right one, or create what is missing: postfix check",
		},
		{
			name: "another directory",
			change: func(t *testing.T, dir string) {
				t.Helper()
				rename(t, filepath.Join(dir, "maildrop"), filepath.Join(dir, "x"))
			},
			want: "DIR is not a Postfix queue directory; name the right one, or create what is missing: postfix check",
		},
		{
			name:   "a closed queue",
			change: func(t *testing.T, dir string) { t.Helper(); closeFile(t, filepath.Join(dir, "hold")) },
			want:   "this user may not read DIR/hold" + denied,
		},
		{
			name:   "a closed hash directory",
			change: func(t *testing.T, dir string) { t.Helper(); closeFile(t, filepath.Join(dir, "deferred/A")) },
			want:   "this user may not read DIR/deferred/A" + denied,
		},
		{
			name: "a hash directory that may be listed, but not entered",
			change: func(t *testing.T, dir string) {
				t.Helper()
				closeFile(t, filepath.Join(dir, "deferred/A"))
				if err := os.Chmod(filepath.Join(dir, "deferred/A"), 0o400); err != nil {
					t.Fatal(err)
				}
			},
			want: "cannot read DIR/deferred/A/A1: permission denied",
		},
		{
			name: "a maildrop that may be listed, but not entered",
			change: func(t *testing.T, dir string) {
				t.Helper()
				writeFile(t, filepath.Join(dir, "maildrop", "B1"), "", 0o700)
				closeFile(t, filepath.Join(dir, "maildrop"))
				if err := os.Chmod(filepath.Join(dir, "maildrop"), 0o400); err != nil {
					t.Fatal(err)
				}
			},
			want: "cannot read DIR/maildrop/B1: permission denied",
		},
		{
			name:   "closed defer logs",
			change: func(t *testing.T, dir string) { t.Helper(); closeFile(t, filepath.Join(dir, "defer")) },
			want:   "this user may not read DIR/defer" + denied,
		},
		{
			name:   "a closed defer log",
			change: func(t *testing.T, dir string) { t.Helper(); closeFile(t, filepath.Join(dir, "defer/A/A1")) },
			want:   "cannot read DIR/defer/A/A1: permission denied",
		},
		{
			name:   "a closed queue of corrupt messages",
			change: func(t *testing.T, dir string) { t.Helper(); closeFile(t, filepath.Join(dir, "corrupt")) },
			want:   "this user may not read DIR/corrupt" + denied,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asOrdinaryUser(t)
			s := newSpool(t)
			tt.change(t, s.Dir)
			messages, facts, err := readSpool(t, s)
			switch {
			case tt.want != "" && (err == nil || strings.ReplaceAll(err.Error(), s.Dir, "DIR") != tt.want):
				t.Errorf("error %v, want %s", err, tt.want)
			case tt.want == "" && (err != nil || len(messages) != 1 || messages["A1"] != "late" || *facts.Corrupt != 0):
				t.Errorf("%v, %v", messages, err)
			}
		})
	}
}

// Other files, which anybody may make in maildrop, are passed over.
func TestSpoolPassesOver(t *testing.T) {
	message := rec('T', "7 0") + rec('S', "a@example.com") + rec('R', "b@example.org") + rec('M', "")
	tests := []struct {
		name string
		path string
		add  func(t *testing.T, path string)
	}{
		{"a file that is being written", "deferred/A/A2", func(t *testing.T, path string) {
			t.Helper()
			writeFile(t, path, message, 0o600)
		}},
		{"a closed file that is not ready", "deferred/A/A2", func(t *testing.T, path string) {
			t.Helper()
			writeFile(t, path, message, 0o700)
			closeFile(t, path)
		}},
		{"a closed file in maildrop", "maildrop/A2", func(t *testing.T, path string) {
			t.Helper()
			if os.Getuid() != 0 {
				writeFile(t, path, message, 0o700)
				closeFile(t, path)
				return
			}
			// Root can make one that is ready, but that only its owner can read.
			seteuid(t, 0)
			writeFile(t, path, message, 0o700)
			seteuid(t, ordinaryUser)
		}},
		{"a file that is not a message", "deferred/A/A2", func(t *testing.T, path string) {
			t.Helper()
			writeFile(t, path, "hello", 0o700)
		}},
		{"a name that is not a queue ID", "deferred/A/A2.tmp", func(t *testing.T, path string) {
			t.Helper()
			writeFile(t, path, message, 0o700)
		}},
		{"a name of a hash directory", "deferred/B", func(t *testing.T, path string) {
			t.Helper()
			writeFile(t, path, message, 0o700)
		}},
		{"a link to a message", "deferred/A/A2", func(t *testing.T, path string) {
			t.Helper()
			writeFile(t, path+".real", message, 0o700)
			symlink(t, path+".real", path)
		}},
		{"a link to a directory", "deferred/B", func(t *testing.T, path string) {
			t.Helper()
			elsewhere := t.TempDir()
			writeFile(t, filepath.Join(elsewhere, "B1"), message, 0o700)
			symlink(t, elsewhere, path)
		}},
		{"a directory", "deferred/A/A2", func(t *testing.T, path string) {
			t.Helper()
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"a FIFO", "maildrop/A2", func(t *testing.T, path string) {
			t.Helper()
			if err := unix.Mkfifo(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"a socket", "maildrop/A2", func(t *testing.T, path string) {
			t.Helper()
			listener, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { listener.Close() })
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asOrdinaryUser(t)
			s := newSpool(t)
			tt.add(t, filepath.Join(s.Dir, tt.path))
			for _, depth := range []queue.Depth{queue.Envelopes, queue.WithReasons} {
				var ids []string
				_, err := s.Read(t.Context(), depth, func(m *queue.Message) { ids = append(ids, m.ID) })
				if err != nil || len(ids) != 1 || ids[0] != "A1" {
					t.Errorf("depth %d: messages %v, error %v; want A1", depth, ids, err)
				}
			}
		})
	}
}

// A message is the same whether it is read at once or together with its log.
func TestSpoolWithAndWithoutReasons(t *testing.T) {
	s := newSpool(t)
	for i := range 40 { // more than are read ahead
		deferMessage(t, s.Dir, fmt.Sprintf("A%X", i+2))
	}
	read := func(depth queue.Depth) map[string]queue.Message {
		messages := map[string]queue.Message{}
		if _, err := s.Read(t.Context(), depth, func(m *queue.Message) {
			clone := *m
			clone.Recipients = []queue.Recipient{{Address: m.Recipients[0].Address}}
			messages[m.ID] = clone
		}); err != nil {
			t.Fatal(err)
		}
		return messages
	}
	without, with := read(queue.Envelopes), read(queue.WithReasons)
	if len(without) != 41 {
		t.Errorf("%d messages, want 41", len(without))
	}
	if diff := cmp.Diff(without, with); diff != "" {
		t.Errorf("messages (-without +with reasons):\n%s", diff)
	}
}

// The content filter of a FILTER action is behind the content of the message.
func TestContentFilterBehindTheContent(t *testing.T) {
	s := newSpool(t)
	content := strings.Repeat("x", 10_000)
	file := sizeRec(len(content), 1) + rec('T', "7 0") + rec('S', "a@example.com") + rec('R', "b@example.org") +
		rec('M', "") + content + rec('X', "") + rec('L', "nosuch:next.example") + rec('E', "")
	writeFile(t, filepath.Join(s.Dir, "deferred/A/A1"), file, 0o700)
	for reason, want := range map[string]string{"mail transport unavailable": "nosuch:next.example", "late": ""} {
		writeFile(t, filepath.Join(s.Dir, "defer/A/A1"), "recipient=b@example.org\nreason="+reason+"\n\n", 0o600)
		verify := func(m *queue.Message) {
			t.Helper()
			if m.ContentFilter != want || len(m.Recipients) != 1 || m.Recipients[0].Reason != reason {
				t.Errorf("%s: content filter %q, recipients %v", reason, m.ContentFilter, m.Recipients)
			}
		}
		if _, err := s.Read(t.Context(), queue.WithReasons, verify); err != nil {
			t.Error(err)
		}
		found := &queue.Message{Queue: queue.Deferred, ID: "A1"}
		moved := &queue.Message{Queue: queue.Active, ID: "A1"}
		if err := s.AddReasons(t.Context(), []*queue.Message{moved, found}); err != nil {
			t.Error(err)
		}
		verify(found)
		if moved.ContentFilter != "" {
			t.Errorf("content filter %q of a file that is not there", moved.ContentFilter)
		}
	}
}

// The preloaded beginning of a file is not taken for that of the next one.
func TestPreloadIsForOneFile(t *testing.T) {
	open := func(content string) queueFile {
		path := filepath.Join(t.TempDir(), "file")
		writeFile(t, path, content, 0o700)
		fd, err := unix.Open(path, openFlags, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { descriptor(fd).close() })
		return queueFile{ReaderAt: descriptor(fd), sizeBytes: int64(len(content)), modified: time.Unix(99, 0)}
	}
	first, second := open(rec('S', "first")+rec('R', "b")), open(rec('S', "second")+rec('R', "b"))
	var w recordWindow
	var m queue.Message
	for _, tt := range []struct {
		file    queueFile
		preload bool
		want    string
	}{
		{first, true, "first"},
		{second, false, "second"},
		{first, true, "first"},
		{second, true, "second"},
		{first, false, "first"},
	} {
		if tt.preload {
			w.preload(tt.file.ReaderAt.(descriptor))
		}
		if ok, err := w.readEnvelope(tt.file, envelopeRules{}, &m); !ok || err != nil || m.Sender != tt.want {
			t.Errorf("preload %v: %v, %v, sender %s; want %s", tt.preload, ok, err, m.Sender, tt.want)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func TestSpoolClosesItsFiles(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	tests := []struct {
		name  string
		ctx   context.Context
		depth queue.Depth
		visit func(*queue.Message)
	}{
		{"without reasons", t.Context(), queue.Envelopes, func(*queue.Message) {}},
		{"with reasons", t.Context(), queue.WithReasons, func(*queue.Message) {}},
		{"cut short", ended, queue.WithReasons, func(*queue.Message) { cancel() }},
	}
	s := newSpool(t)
	for i := range 100 {
		deferMessage(t, s.Dir, fmt.Sprintf("A%X", i+2))
	}
	before := openFiles(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _ = s.Read(tt.ctx, tt.depth, tt.visit)
			if after := openFiles(t); after != before {
				t.Errorf("%d files are open, %d before", after, before)
			}
		})
	}
}

// In maildrop anybody may say how many recipients a message has.
func TestRecipientsOfMaildropAreCounted(t *testing.T) {
	s := newSpool(t)
	s.MailVersion = func() string { return "3.5.25" } // the size in the file counts
	content := rec('N', strings.Repeat("x", 48))
	file := sizeRec(50, 1) + rec('T', "7 0") + rec('S', "a") + rec('R', "b") + rec('M', "") + content + rec('X', "") +
		rec('R', "c") + rec('E', "")
	for path, want := range map[string]string{"maildrop/B1": "b c", "hold/B2": "b"} {
		writeFile(t, filepath.Join(s.Dir, path), file, 0o700)
		got := ""
		_, err := s.Read(t.Context(), queue.Envelopes, func(m *queue.Message) {
			if m.ID == filepath.Base(path) {
				got = addresses(*m)
			}
		})
		if err != nil || got != want {
			t.Errorf("%s: recipients %s, %v; want %s", path, got, err, want)
		}
	}
}

func TestSizeInMaildropDependsOnTheVersion(t *testing.T) {
	s := newSpool(t)
	file := sizeRec(50, 1) + rec('S', "a") + rec('R', "b") + rec('M', "")
	writeFile(t, filepath.Join(s.Dir, "maildrop/B1"), file, 0o700)
	old, fixed := func() string { return "3.5.25" }, func() string { return "3.11.0" }
	for _, tt := range []struct {
		name        string
		mailVersion func() string
		want        int64
	}{
		{"an old version", old, 50},
		{"a new version", fixed, int64(len(file))},
		{"an unknown version", nil, int64(len(file))},
	} {
		s.MailVersion = tt.mailVersion
		var size int64
		_, err := s.Read(t.Context(), queue.Envelopes, func(m *queue.Message) {
			if m.Queue == queue.Maildrop {
				size = m.SizeBytes
			}
		})
		if err != nil || size != tt.want {
			t.Errorf("%s: %d bytes, %v; want %d", tt.name, size, err, tt.want)
		}
	}
}

func TestCorruptMessagesAreCounted(t *testing.T) {
	s := newSpool(t)
	corrupt := filepath.Join(s.Dir, "corrupt")
	writeFile(t, filepath.Join(corrupt, "C1"), "", 0)
	writeFile(t, filepath.Join(corrupt, "C2"), "", 0o700)
	symlink(t, "C1", filepath.Join(corrupt, "C3"))
	if err := os.MkdirAll(filepath.Join(corrupt, "D", "C4"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(corrupt, "D", "C5"), "", 0o600)
	facts, err := s.Read(t.Context(), queue.Envelopes, func(*queue.Message) {})
	if err != nil || *facts.Corrupt != 3 {
		t.Errorf("facts %+v, %v; want 3 corrupt", facts, err)
	}
}

// Only a damaged spool has hash directories this deep. They are not followed to the
// end.
func TestHashDirectoriesAreNotEndless(t *testing.T) {
	s := newSpool(t)
	dir := filepath.Join(s.Dir, "hold")
	message := rec('S', "a") + rec('R', "b") + rec('M', "")
	for depth := range maxHashDepth + 2 {
		writeFile(t, filepath.Join(dir, fmt.Sprintf("D%d", depth)), message, 0o700)
		dir = filepath.Join(dir, "A")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	deepest := 0
	_, err := s.Read(t.Context(), queue.Envelopes, func(m *queue.Message) {
		if m.Queue == queue.Hold {
			deepest++
		}
	})
	if err != nil || deepest != maxHashDepth+1 {
		t.Errorf("%d messages, %v; want those of %d directories", deepest, err, maxHashDepth+1)
	}
}

// Maildrop has no hash directories: a name of one character is that of a message.
func TestMaildropIsFlat(t *testing.T) {
	s := newSpool(t)
	message := rec('S', "a") + rec('R', "b") + rec('M', "")
	writeFile(t, filepath.Join(s.Dir, "maildrop/B"), message, 0o700)
	if err := os.Mkdir(filepath.Join(s.Dir, "maildrop/C"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(s.Dir, "maildrop/C/C1"), message, 0o700)
	var ids []string
	_, err := s.Read(t.Context(), queue.Envelopes, func(m *queue.Message) {
		if m.Queue == queue.Maildrop {
			ids = append(ids, m.ID)
		}
	})
	if err != nil || len(ids) != 1 || ids[0] != "B" {
		t.Errorf("messages %v, %v; want B", ids, err)
	}
}

func TestReadAhead(t *testing.T) {
	for maxOpenFiles, want := range map[int]int{
		0: maxReadAhead, 1: 1, 39: 1, 40: 1, 48: 2, 47: 1, 32 + 8*16: 16, 32 + 8*17: 16, 1 << 20: 16,
	} {
		if got := (&Spool{MaxOpenFiles: maxOpenFiles}).readAhead(); got != want {
			t.Errorf("%d open files: %d, want %d", maxOpenFiles, got, want)
		}
	}
}

func TestForcedExpire(t *testing.T) {
	s := newSpool(t)
	message := rec('S', "a") + rec('R', "b") + rec('M', "")
	for name, mode := range map[string]os.FileMode{"A2": 0o710, "A3": 0o701, "A4": 0o760} {
		path := filepath.Join(s.Dir, "deferred/A", name)
		writeFile(t, path, message, 0o700)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	var marked []string
	_, err := s.Read(t.Context(), queue.Envelopes, func(m *queue.Message) {
		if m.ForcedExpire {
			marked = append(marked, m.ID)
		}
	})
	if err != nil || len(marked) != 1 || marked[0] != "A2" {
		t.Errorf("marked %v, %v; want A2", marked, err)
	}
}

// A directory in the place of a log has no reasons.
func TestDeferLogThatIsADirectory(t *testing.T) {
	s := newSpool(t)
	log := filepath.Join(s.Dir, "defer/A/A1")
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(log, 0o700); err != nil {
		t.Fatal(err)
	}
	if messages, _, err := readSpool(t, s); err != nil || len(messages) != 1 || messages["A1"] != "" {
		t.Errorf("%v, %v", messages, err)
	}
}

// A panic in a worker would end the program with the exit code of CRITICAL.
func TestPanicInAWorkerBecomesAnError(t *testing.T) {
	_, err := newSpool(t).Read(t.Context(), queue.Envelopes, func(*queue.Message) { panic("oops") })
	if err == nil || err.Error() != "internal error: oops; please report it" {
		t.Errorf("error %v", err)
	}
}

func TestNeverTwoVisitsAtATime(t *testing.T) {
	s := newSpool(t)
	message := rec('S', "a") + rec('R', "b") + rec('M', "")
	for i := range Workers * nameBatch { // each worker has a batch of names
		writeFile(t, filepath.Join(s.Dir, "active", fmt.Sprintf("A%X", i+2)), message, 0o700)
	}
	var visits atomic.Int32
	_, err := s.Read(t.Context(), queue.Envelopes, func(*queue.Message) {
		if n := visits.Add(1); n > 1 {
			t.Errorf("%d visits at a time", n)
		}
		runtime.Gosched()
		visits.Add(-1)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestSpoolEndsWithItsContext(t *testing.T) {
	s := newSpool(t)
	for i := range 100 {
		deferMessage(t, s.Dir, fmt.Sprintf("A%X", i+2))
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	messages := 0
	_, err := s.Read(ctx, queue.WithReasons, func(*queue.Message) {
		messages++
		cancel(context.DeadlineExceeded)
	})
	if !errors.Is(err, context.DeadlineExceeded) || messages == 0 || messages > Workers*maxWaiting {
		t.Errorf("%d messages, %v", messages, err)
	}
}

// A disk that fails while a directory is read does not make the rest vanish.
func TestDirectoryThatCannotBeRead(t *testing.T) {
	s := newSpool(t)
	walk := walkFlat(filepath.Join(s.Dir, "deferred/A"))
	if err := walk.openNext(); err != nil {
		t.Fatal(err)
	}
	walk.current.Close() // reading it fails from now on
	err := walk.each(t.Context(), func(*walkDir, []string) error { return nil })
	if err == nil || !strings.HasPrefix(err.Error(), "cannot read "+s.Dir+"/deferred/A: ") {
		t.Errorf("error %v", err)
	}
}

func TestAccessToTheSpool(t *testing.T) {
	asOrdinaryUser(t)
	s := newSpool(t)
	if err := s.CheckAccess(); err != nil {
		t.Errorf("open: %v", err)
	}
	closeFile(t, filepath.Join(s.Dir, "maildrop"))
	want := "this user may not read " + s.Dir + "/maildrop: only root and the mail owner may; use --source postqueue"
	if err := s.CheckAccess(); err == nil || err.Error() != want {
		t.Errorf("closed: %v, want %s", err, want)
	}
	if err := (&Spool{Dir: filepath.Join(s.Dir, "nosuch")}).CheckAccess(); err != nil {
		t.Errorf("missing: %v", err) // reading it says what is wrong
	}
}

// If a process may have few files open, fewer are read ahead.
func TestSpoolWithFewFiles(t *testing.T) {
	s := newSpool(t)
	const messages = Workers*nameBatch + 1 // each worker has a batch of names
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

// A second look is at some queues alone, and sees what the status of a queue file says.
func TestGlance(t *testing.T) {
	s := newSpool(t)
	due := time.Unix(2_000_000_000, 0)
	if err := os.Chtimes(filepath.Join(s.Dir, "deferred/A/A1"), due, due); err != nil {
		t.Fatal(err)
	}
	rename(t, filepath.Join(s.Dir, "defer"), filepath.Join(s.Dir, "elsewhere"))
	var got []queue.Message
	visit := func(m *queue.Message) { got = append(got, *m) }
	if err := s.Glance(t.Context(), []queue.Name{queue.Active, queue.Incoming}, visit); err != nil || len(got) != 0 {
		t.Errorf("active and incoming: %v, %v", got, err)
	}
	if err := s.Glance(t.Context(), []queue.Name{queue.Deferred}, visit); err != nil || len(got) != 1 {
		t.Fatalf("deferred: %v, %v", got, err)
	}
	if m := got[0]; m.ID != "A1" || !m.Due.Equal(due) || time.Since(m.Entered) > time.Minute || m.Expiring {
		t.Errorf("%+v", m)
	}
	if err := s.Glance(t.Context(), []queue.Name{"nowhere"}, visit); err != nil {
		t.Error(err)
	}
	rename(t, filepath.Join(s.Dir, "active"), filepath.Join(s.Dir, "passive"))
	if err := s.Glance(t.Context(), []queue.Name{queue.Active}, visit); err == nil {
		t.Error("a queue that is not there is no error")
	}
}

func TestExpiryIsKnown(t *testing.T) {
	hour := Lifetimes{Mail: time.Hour, Bounces: time.Hour}
	for name, tt := range map[string]struct {
		lifetimes func() (Lifetimes, error)
		known     bool
	}{
		"a directory alone": {nil, false},
		"main.cf":           {func() (Lifetimes, error) { return hour, nil }, true},
		"postconf fails":    {func() (Lifetimes, error) { return hour, errors.New("exit status 1") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSpool(t) // its message arrived in 1970
			s.Lifetimes = tt.lifetimes
			expiring := 0
			facts, err := s.Read(t.Context(), queue.Envelopes, func(m *queue.Message) {
				if m.Expiring {
					expiring++
				}
			})
			if err != nil || facts.KnowsExpiry != tt.known || (expiring == 1) != tt.known {
				t.Errorf("%d expire, %+v, %v", expiring, facts, err)
			}
		})
	}
}
