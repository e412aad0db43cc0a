package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/spool"
)

// nul makes a showq listing of words: an empty word ends a list.
func nul(words ...string) string { return strings.Join(words, "\x00") + "\x00" }

func banner() string { return nul("protocol", "mail_queue_list_protocol", "") }

func TestParseShowq(t *testing.T) {
	head := []string{"queue_name", "hold", "queue_id", "ABC", "time", "5", "size", "7"}
	message := func(rest ...string) string { return nul(append(append(append([]string{}, head...), rest...), "")...) }
	base := queue.Message{Queue: queue.Hold, ID: "ABC", Arrival: time.Unix(5, 0), SizeBytes: 7, Sender: "s"}
	with := func(change func(*queue.Message)) []queue.Message {
		m := base
		change(&m)
		return []queue.Message{m}
	}
	tests := []struct {
		name    string
		listing string
		want    []queue.Message
		err     string
	}{
		{name: "empty, 3.6", listing: banner() + nul("")},
		{name: "empty, 3.1", listing: nul("")},
		{
			name:    "3.1",
			listing: message("sender", "s", "recipient", "a", "reason", "later", "recipient", "b", "reason", "") + nul(""),
			want: with(func(m *queue.Message) {
				m.Recipients = []queue.Recipient{{Address: "a", Reason: "later"}, {Address: "b"}}
			}),
		},
		{
			name: "3.6, force-expired", listing: banner() + message("forced_expire", "1", "sender", "s") + nul(""),
			want: with(func(m *queue.Message) { m.ForcedExpire = true }),
		},
		{
			name: "3.11: a recipient that has bounced is done",
			listing: banner() + message("sender", "s",
				"original_recipient", "", "recipient", "gone", "log_class", "bounce", "reason", "unknown user",
				"original_recipient", "x", "recipient", "a", "log_class", "defer", "reason", "later",
				"original_recipient", "x", "recipient", "b", "log_class", "", "reason", "") + nul(""),
			want: with(func(m *queue.Message) {
				m.Recipients = []queue.Recipient{{Address: "a", Reason: "later"}, {Address: "b"}}
			}),
		},
		{
			name: "a log class is that of its recipient",
			listing: message("sender", "s", "recipient", "gone", "log_class", "bounce", "reason", "unknown user",
				"recipient", "a", "reason", "later") + nul(""),
			want: with(func(m *queue.Message) { m.Recipients = []queue.Recipient{{Address: "a", Reason: "later"}} }),
		},
		{
			name:    "an attribute of the future",
			listing: message("sender", "s", "news", "x") + nul(""),
			want:    with(func(*queue.Message) {}),
		},
		{
			name:    "no end",
			listing: banner() + message("sender", "s"),
			want:    []queue.Message{base},
			err:     io.ErrUnexpectedEOF.Error(),
		},
		{name: "nothing at all", listing: "", err: io.ErrUnexpectedEOF.Error()},
		{name: "half a message", listing: banner() + message("sender", "s")[:20], err: io.ErrUnexpectedEOF.Error()},
		{
			name:    "text of an old version",
			listing: "-Queue ID- --Size-- ----Arrival Time---- -Sender/Recipient-------\n",
			err:     errOldShowq.Error(),
		},
		{name: "text of an old version, empty", listing: "Mail queue is empty\n", err: errOldShowq.Error()},
		{
			name:    "another protocol",
			listing: nul("protocol", "smtp", ""),
			err:     "it sends smtp instead of mail_queue_list_protocol",
		},
		{
			name:    "no size",
			listing: nul("queue_name", "hold", "queue_id", "ABC", "time", "5", "") + nul(""),
			err:     "message ABC lacks its queue, size or time",
		},
		{name: "an invalid size", listing: nul("queue_name", "hold", "size", "x", "") + nul(""), err: "the size is x"},
		{
			name:    "an unknown queue",
			listing: nul("queue_name", "x", "time", "5", "size", "7", "") + nul(""),
			err:     "message  lacks its queue, size or time",
		},
		{
			name:    "a reason without recipient",
			listing: nul("reason", "x", "") + nul(""),
			err:     "a reason comes before its recipient",
		},
		{
			name:    "an endless attribute",
			listing: banner() + strings.Repeat("x", 1<<17),
			err:     "an attribute is longer than 65536 bytes",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			visit, visited := collect()
			err := parseShowq(strings.NewReader(tt.listing), visit)
			if got := errorText(err); got != tt.err {
				t.Errorf("error %q, want %q", got, tt.err)
			}
			if diff := cmp.Diff(tt.want, *visited); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestEndlessMessageIsRefused(t *testing.T) {
	endless := io.MultiReader(strings.NewReader(banner()+
		nul("queue_name", "hold")), &repeating{nul("recipient", strings.Repeat("x", 1000))})
	err := parseShowq(endless, func(*queue.Message) { t.Error("visited") })
	if err == nil || !strings.Contains(err.Error(), "longer than 64 MiB") {
		t.Errorf("error %v", err)
	}
}

// repeating is a reader without end.
type repeating struct{ text string }

func (r *repeating) Read(p []byte) (int, error) {
	return copy(p, r.text[:min(len(p), len(r.text))]), nil
}

// The captured answers of the socket say what the JSON of the same queue says.
func TestCapturedShowq(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(listings, "*", "*.showq"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	for _, path := range paths {
		fromShowq, _ := collectFile(t, path, parseShowq)
		fromJSON, _ := collectFile(t, strings.TrimSuffix(path, ".showq")+
			".json", func(r io.Reader, visit func(*queue.Message)) error {
			_, err := parseJSON(r, visit)
			return err
		})
		if diff := cmp.Diff(fromJSON, fromShowq); diff != "" {
			t.Errorf("%s (-json +showq):\n%s", path, diff)
		}
	}
}

// serve makes a showq socket that answers as told, and returns the queue
// directory.
func serve(t *testing.T, answer func(net.Conn)) (queueDir string) {
	t.Helper()
	queueDir = t.TempDir()
	for _, dir := range []string{"public", "active"} {
		if err := os.Mkdir(filepath.Join(queueDir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	listen(t, filepath.Join(queueDir, "public", "showq"), answer)
	return queueDir
}

// listen makes a socket that answers one client after another.
func listen(t *testing.T, path string, answer func(net.Conn)) {
	t.Helper()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			answer(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
}

func TestShowqThatMisbehaves(t *testing.T) {
	one := nul("queue_name", "hold", "queue_id", "ABC", "time", "5", "size", "7", "")
	drain := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) } // until the client is gone
	tests := []struct {
		name     string
		answer   func(conn net.Conn, late func())
		isLate   bool // the time is up after the first message
		messages int  // -1: any, but not none
		check    func(error) bool
	}{
		{
			name:   "says nothing",
			answer: func(c net.Conn, late func()) { late(); drain(c) },
			check:  isDeadline,
		},
		{
			name:     "sends half a message and waits",
			answer:   func(c net.Conn, _ func()) { fmt.Fprint(c, banner()+one+one[:20]); drain(c) },
			isLate:   true,
			messages: 1,
			check:    isDeadline,
		},
		{
			name:     "sends half a message and dies",
			answer:   func(c net.Conn, _ func()) { fmt.Fprint(c, banner()+one+one[:20]) },
			messages: 1,
			check:    says("ends before the end of the listing"),
		},
		{
			name:     "sends for ever",
			answer:   func(c net.Conn, _ func()) { _, _ = io.Copy(c, &repeating{one}) },
			isLate:   true,
			messages: -1,
			check:    isDeadline,
		},
		{
			name:   "is old",
			answer: func(c net.Conn, _ func()) { fmt.Fprint(c, "Mail queue is empty\n") },
			check:  says("answers with text, as Postfix 3.0 and earlier do"),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			late := func() { cancel(context.DeadlineExceeded) }
			dir := serve(t, func(conn net.Conn) { tt.answer(conn, late) })
			messages := 0
			_, err := (&Showq{mailSystem: mailSystem{queueDir: dir}}).Read(ctx, queue.Envelopes, func(*queue.Message) {
				messages++
				if tt.isLate {
					late()
				}
			})
			if !tt.check(err) {
				t.Errorf("error %v", err)
			}
			if messages != tt.messages && (tt.messages >= 0 || messages == 0) {
				t.Errorf("%d messages, want %d", messages, tt.messages)
			}
		})
	}
}

func isDeadline(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

func says(text string) func(error) bool {
	return func(err error) bool { return err != nil && strings.Contains(err.Error(), text) }
}

func TestAccessToShowq(t *testing.T) {
	asOrdinaryUser(t)
	p := startPostfix(t, "")
	showq := &Showq{mailSystem: mailSystem{queueDir: p.queueDir}}
	if err := showq.CheckAccess(); err != nil {
		t.Errorf("open: %v", err)
	}
	public := filepath.Join(p.queueDir, "public")
	if err := os.Chmod(public, 0o600); err != nil {
		t.Fatal(err)
	}
	err := showq.CheckAccess()
	if err := os.Chmod(public, 0o700); err != nil {
		t.Fatal(err)
	}
	if !says("this user may not connect to " + public + "/showq")(err) {
		t.Errorf("closed: %v", err)
	}
}

func TestShowqWithoutAListener(t *testing.T) {
	dir := t.TempDir()
	showq := &Showq{mailSystem: mailSystem{queueDir: dir}}
	if _, err := showq.Read(t.Context(), queue.Envelopes, nil); !isType[*spool.NotQueueDirError](err) {
		t.Errorf("no queue directory: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "active"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := showq.Read(t.Context(), queue.Envelopes, nil); !isType[*queue.DownError](err) {
		t.Errorf("no socket: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "public"), 0o755); err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "public", "showq")})
	if err != nil {
		t.Fatal(err)
	}
	socket.SetUnlinkOnClose(false)
	socket.Close()
	_, err = showq.Read(t.Context(), queue.Envelopes, nil)
	if down, ok := errors.AsType[*queue.DownError](err); !ok || !strings.HasPrefix(down.Reason, "nothing listens on ") {
		t.Errorf("nothing listens: %v", err)
	}
}

func isType[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func FuzzParseShowq(f *testing.F) {
	addListings(f, "*.showq")
	f.Add([]byte(nul("queue_name", "hold", "time", "5", "size", "7", "recipient", "a", "log_class", "bounce",
		"reason", "x", "") + nul("")))
	f.Fuzz(func(t *testing.T, listing []byte) {
		err := parseShowq(bytes.NewReader(listing), func(m *queue.Message) {
			if m.SizeBytes < 0 || m.Arrival.IsZero() || m.Queue == "" {
				t.Errorf("message %+v", m)
			}
		})
		if err == nil && !bytes.Contains(listing, []byte{0}) {
			t.Error("a listing without an end passes for whole")
		}
	})
}
