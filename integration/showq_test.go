//go:build integration

package integration

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A showq that misbehaves: each is answered in time, and none is taken for an empty queue.
func TestShowqThatMisbehaves(t *testing.T) {
	const begin = "protocol\x00mail_queue_list_protocol\x00\x00"
	const message = "queue_name\x00deferred\x00queue_id\x00ABCDEF0123\x00time\x001795454099\x00size\x00300\x00" +
		"forced_expire\x000\x00sender\x00a@example.com\x00recipient\x00b@example.org\x00reason\x00later\x00\x00"
	untilGone := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	tests := []struct {
		name     string
		serve    func(net.Conn)
		exitCode int
		text     string
	}{
		{"accepts and says nothing", untilGone, 3, "no answer from showq within 1 s"},
		{"sends half a record and waits", func(conn net.Conn) {
			_, _ = io.WriteString(conn, begin+message+message[:40])
			untilGone(conn)
		}, 3, "at least 1 email, "},
		{"sends half a record and dies", func(conn net.Conn) {
			_, _ = io.WriteString(conn, begin+message+message[:40])
		}, 3, "ends before the end of the listing"},
		{"sends for ever", func(conn net.Conn) {
			_, err := io.WriteString(conn, begin)
			for err == nil {
				_, err = io.WriteString(conn, message)
			}
		}, 2, "POSTFIX_QUEUE CRITICAL - at least "},
		{"sends an endless attribute", func(conn net.Conn) {
			for {
				if _, err := io.WriteString(conn, strings.Repeat("x", 4096)); err != nil {
					return
				}
			}
		}, 3, "an attribute is longer than"},
		{"talks to people", func(conn net.Conn) {
			_, _ = io.WriteString(conn, "Mail queue is empty\n")
		}, 3, "as Postfix 3.0 and earlier do"},
	}
	startPostfix(t)
	path := filepath.Join(spoolDir, "public", "showq")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			listener, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if conn, err := listener.Accept(); err == nil {
					tt.serve(conn)
					conn.Close()
				}
			}()
			r := runAs(t, "root", program(t, "check_postfix_queue"), "--source", "showq", "-t", "1", "-c", "1000")
			listener.Close()
			<-done
			if r.exitCode != tt.exitCode || r.stderr != "" || strings.Count(r.stdout, "\n") != 1 ||
				!strings.Contains(r.stdout, tt.text) || strings.Contains(r.stdout, "|") {
				t.Error(r)
			}
		})
	}
}
