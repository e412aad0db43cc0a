//go:build integration

package integration

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// askShowq returns what the real showq answers to root.
func askShowq(t *testing.T) string {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(spoolDir, "public", "showq"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// A fakeInstance is a configuration and a queue directory of which only the socket of showq is of use.
type fakeInstance struct{ configDir, socket string }

func newFakeInstance(t *testing.T) fakeInstance {
	t.Helper()
	config, queue := publicTempDir(t), publicTempDir(t)
	for _, dir := range []string{"active", "public"} {
		if err := os.Mkdir(filepath.Join(queue, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	setting := []byte("queue_directory = " + queue + "\n")
	if err := os.WriteFile(filepath.Join(config, "main.cf"), setting, 0o644); err != nil {
		t.Fatal(err)
	}
	return fakeInstance{config, filepath.Join(queue, "public", "showq")}
}

// listen makes serve answer for showq, to one client.
func (i fakeInstance) listen(serve func(*net.UnixConn)) func(*testing.T) func() {
	return func(t *testing.T) func() {
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: i.socket, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if conn, err := listener.AcceptUnix(); err == nil {
				serve(conn)
				conn.Close()
			}
		}()
		return func() {
			listener.Close()
			<-done
		}
	}
}

// put puts a file that is no socket into showq's place.
func (i fakeInstance) put(place func(path string) error) func(*testing.T) func() {
	return func(t *testing.T) func() {
		if err := place(i.socket); err != nil {
			t.Fatal(err)
		}
		return func() { os.RemoveAll(i.socket) }
	}
}

func (i fakeInstance) cell(program, fault string, want outcome, prepare func(*testing.T) func()) cell {
	args := programArgs(program, "--source", "showq", "-d", i.configDir, "-t", "0.5")
	return cell{fault: fault, program: program, args: args, want: want, prepare: prepare}
}

func sends(parts ...string) func(*net.UnixConn) {
	return func(conn *net.UnixConn) {
		for _, part := range parts {
			_, _ = io.WriteString(conn, part)
		}
	}
}

func untilGone(conn *net.UnixConn) { _, _ = io.Copy(io.Discard, conn) }

// fakeShowqs answer with an answer of the real one, changed.
func (f *faults) fakeShowqs() []group {
	answer := f.first
	end := len(answer)
	if !strings.HasSuffix(answer, "\x00\x00\x00") || strings.Count(answer, "queue_id\x00") != 2 {
		f.t.Fatalf("not an answer with two messages: %q", answer)
	}
	var groups []group
	const perGroup = 100
	for from := 0; from < end; from += perGroup {
		instance := newFakeInstance(f.t)
		g := group{name: fmt.Sprintf("cut at %d and later", from)}
		for cut := from; cut < min(from+perGroup, end); cut++ {
			prepare := instance.listen(sends(answer[:cut]))
			g.cells = append(g.cells, instance.cell(checkProgram, fmt.Sprintf("cut at %d", cut), failed, prepare))
			if cut%10 == 0 {
				g.cells = append(g.cells, instance.cell(emitterProgram, fmt.Sprintf("cut at %d", cut), failed, prepare))
			}
		}
		groups = append(groups, g)
	}
	change := func(old, replacement string) func(*net.UnixConn) {
		changed := strings.Replace(answer, old, replacement, 1)
		if changed == answer {
			f.t.Fatalf("no %q in %q", old, answer)
		}
		return sends(changed)
	}
	size := "size\x00" + strings.SplitN(strings.SplitN(answer, "size\x00", 2)[1], "\x00", 2)[0] + "\x00"
	services := map[string]func(*net.UnixConn){
		"nothing":          sends(),
		"NULs only":        sends(strings.Repeat("\x00", 100_000)),
		"NULs for ever":    forEver("\x00"),
		"a word for ever":  forEver("x"),
		"random bytes":     sends("\x7fELF\x02\x01\x01\xff\xfe\xc3\x28 \x00\x00\x01\x02"),
		"an empty line":    sends("\n"),
		"text":             sends("Mail queue is empty\n"),
		"the answer twice": sends(answer, answer),
		"data after it":    sends(answer, "x"),
		"a NUL after it":   sends(answer, "\x00"),
		"hanging":          untilGone,
		"hanging in it":    func(conn *net.UnixConn) { sends(answer[:end*3/4])(conn); untilGone(conn) },
		"hanging at its end": func(conn *net.UnixConn) {
			sends(answer[:end-1])(conn)
			untilGone(conn)
		},
		"hanging after it": func(conn *net.UnixConn) { sends(answer)(conn); untilGone(conn) },
		"a slow drip": func(conn *net.UnixConn) {
			for i := range len(answer) {
				if _, err := io.WriteString(conn, answer[i:i+1]); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		},
		"shut down for writing": func(conn *net.UnixConn) {
			sends(answer[:end/2])(conn)
			_ = conn.CloseWrite()
			untilGone(conn)
		},
		"another protocol":    change("mail_queue_list_protocol", "mail_other_protocol"),
		"no size":             change(size, ""),
		"size minus one":      change(size, "size\x00-1\x00"),
		"size in words":       change(size, "size\x00much\x00"),
		"size beyond 63 bits": change(size, "size\x0099999999999999999999\x00"),
		"no time":             change("\x00time\x00", "\x00tide\x00"),
		"time zero":           change("time\x00", "time\x000\x00time\x00x"),
		"an unknown queue":    change("queue_name\x00deferred", "queue_name\x00defended"),
		"no queue":            change("queue_name\x00", "queue_gone\x00"),
		"a reason first":      change("sender\x00", "reason\x00x\x00sender\x00"),
	}
	for name, serve := range services {
		instance := newFakeInstance(f.t)
		g := group{name: name}
		for _, program := range bothPrograms {
			g.cells = append(g.cells, instance.cell(program, name, failed, instance.listen(serve)))
		}
		if strings.HasPrefix(name, "hanging in it") || strings.HasPrefix(name, "hanging at its end") {
			c := instance.cell(checkProgram, name+", and a range", proved, instance.listen(serve))
			c.args = append(c.args, "-c", "0")
			g.cells = append(g.cells, c)
		}
		groups = append(groups, g)
	}
	instance := newFakeInstance(f.t)
	present := askShowq(f.t)
	unchanged := group{name: "not changed"}
	for _, program := range bothPrograms {
		for _, parts := range [][]string{{present}, strings.SplitAfter(present, "\x00")} {
			prepare := instance.listen(sends(parts...))
			unchanged.cells = append(unchanged.cells, instance.cell(program, "not changed", whole, prepare))
		}
	}
	instance = newFakeInstance(f.t)
	places := group{name: "no listener"}
	for name, place := range map[string]struct {
		want outcome
		make func(path string) error
	}{
		"nothing there":           {down, func(string) error { return nil }},
		"a FIFO":                  {down, func(path string) error { return unix.Mkfifo(path, 0o666) }},
		"a file":                  {down, func(path string) error { return os.WriteFile(path, []byte(answer), 0o666) }},
		"a directory":             {down, func(path string) error { return os.Mkdir(path, 0o755) }},
		"a link to itself":        {failed, func(path string) error { return os.Symlink(path, path) }},
		"a link to nothing":       {down, func(path string) error { return os.Symlink("/nosuch", path) }},
		"a socket without anyone": {down, deafSocket(unix.SOCK_STREAM, false)},
		"a datagram socket":       {failed, deafSocket(unix.SOCK_DGRAM, true)},
	} {
		for _, program := range bothPrograms {
			places.cells = append(places.cells, instance.cell(program, name, place.want, instance.put(place.make)))
		}
	}
	return append(groups, unchanged, places)
}

func forEver(text string) func(*net.UnixConn) {
	return func(conn *net.UnixConn) {
		var err error
		for many := strings.Repeat(text, 4096); err == nil; {
			_, err = io.WriteString(conn, many)
		}
	}
}

// deafSocket makes a socket at which nobody listens. If it is kept, somebody has it open.
func deafSocket(kind int, kept bool) func(path string) error {
	return func(path string) error {
		fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if !kept {
			defer unix.Close(fd)
		}
		return unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
}
