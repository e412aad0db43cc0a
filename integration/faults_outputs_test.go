//go:build integration

package integration

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/scripttest"
)

// badOutputs are outputs that do not take what is written to them.
func badOutputs() map[string]func(t *testing.T) *os.File {
	open := func(path string, flag int) func(t *testing.T) *os.File {
		return func(t *testing.T) *os.File {
			file, err := os.OpenFile(path, flag, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { file.Close() })
			return file
		}
	}
	return map[string]func(t *testing.T) *os.File{
		"a full pipe":         scripttest.FullPipe,
		"a full socket":       func(t *testing.T) *os.File { return socketPair(t, true) },
		"a broken socket":     func(t *testing.T) *os.File { return socketPair(t, false) },
		"a full disk":         open("/dev/full", os.O_WRONLY),
		"open for reading":    open(os.DevNull, os.O_RDONLY),
		"closed at the start": open(os.DevNull, os.O_RDWR), // as the Go runtime then opens it
		"a broken pipe": func(t *testing.T) *os.File {
			r, w := scripttest.Pipe(t)
			r.Close()
			return w
		},
	}
}

// socketPair is an end of a socket: its other end is not read, or closed.
func socketPair(t *testing.T, full bool) *os.File {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	end, other := os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket")
	t.Cleanup(func() { end.Close() })
	if !full {
		other.Close()
		return end
	}
	t.Cleanup(func() { other.Close() })
	for err == nil {
		err = unix.Send(fds[0], make([]byte, 1000), unix.MSG_DONTWAIT)
	}
	return end
}

// outputs are standard output and standard error that are full, broken or closed.
func (f *faults) outputs() []group {
	var groups []group
	nothing := faultSource{name: "no input", user: "nobody", args: []string{"--input", "/nosuch"}}
	for _, source := range []faultSource{f.source("spool"), f.source("auto as nobody"), f.source("a file"), nothing} {
		read := whole
		if source.name == nothing.name {
			read = failed
		}
		for kind, open := range badOutputs() {
			g := group{name: kind + ", " + source.name}
			for _, program := range bothPrograms {
				args := programArgs(program, source.args...)
				with := func(which string, want outcome, set func(c *command, file *os.File)) {
					g.cells = append(g.cells, cell{
						fault: which + " is " + kind, program: program, args: args, want: want,
						run: func(t *testing.T, argv []string) result {
							as := command{user: source.user}
							set(&as, open(t))
							return as.run(t, argv[0], argv[1:]...)
						},
					})
				}
				// The check says nothing elsewhere, the emitter complains.
				answer := mute
				if program == emitterProgram {
					answer = failed
				}
				with("standard output", answer, func(c *command, file *os.File) { c.stdout = file })
				if kind != "closed at the start" { // then they are one file, as a daemon's /dev/null, and discarded
					with("both", mute, func(c *command, file *os.File) { c.stdout, c.stderr = file, file })
				}
				complaint := read
				if program == emitterProgram && read == failed {
					complaint = mute
				}
				with("standard error", complaint, func(c *command, file *os.File) { c.stderr = file })
			}
			groups = append(groups, g)
		}
	}
	return append(groups, f.closedOutputs(), f.closedMidway())
}

// closedOutputs are descriptors that the shell closes before the programs start.
func (f *faults) closedOutputs() group {
	g := group{name: "closed descriptors"}
	for _, source := range f.sources() {
		for _, program := range bothPrograms {
			stdout := mute
			if program == emitterProgram {
				stdout = failed
			}
			withoutInput := whole
			if source.stdin != "" {
				withoutInput = failed | mute
				stdout |= failed | mute
			}
			for redirection, want := range map[string]outcome{
				"<&-": withoutInput, ">&-": stdout, "2>&-": whole, "<&- >&-": stdout, "<&- 2>&-": withoutInput,
				">&- 2>&-": mute, "<&- >&- 2>&-": mute,
			} {
				g.cells = append(g.cells, cell{
					fault:   redirection + ", " + source.name,
					as:      command{user: source.user},
					wrap:    []string{"sh", "-c", `exec "$@" ` + redirection, "sh"},
					program: program,
					args:    programArgs(program, source.args...),
					stdin:   source.stdin,
					want:    want,
				})
			}
		}
	}
	return g
}

// closedMidway is a reader that goes away after part of a document that its pipe cannot hold.
func (f *faults) closedMidway() group {
	g := group{name: "closed midway"}
	for _, length := range []int64{1, 100, 4000} {
		g.cells = append(g.cells, cell{
			fault: "closed midway", program: emitterProgram, want: failed,
			args: []string{"-f", "prometheus", "-i", f.saved, "--max-age", "0"},
			run: func(t *testing.T, argv []string) result {
				r, w := scripttest.Pipe(t)
				if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
					t.Fatal(err)
				}
				running := command{user: "nobody", stdout: w}.start(t, argv[0], argv[1:]...)
				w.Close()
				_, _ = io.CopyN(io.Discard, r, length)
				r.Close()
				return running.wait()
			},
		})
	}
	return g
}

// signals come at random moments of reading a longer queue, and of writing a file.
func (f *faults) signals() []group {
	f.p.fillQueue(1000)
	f.learn()
	const moments = 200
	signals := []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE}
	var groups []group
	for _, source := range f.sources() {
		for _, program := range bothPrograms {
			g := group{name: source.name + " of " + program}
			args := programArgs(program, source.args...)
			spread := &spread{runs: moments / len(bothPrograms)}
			for i := range spread.runs {
				c := cell{
					fault: source.name, as: command{user: source.user}, program: program, args: args,
					stdin: source.stdin, want: whole | failed | killed,
				}
				c.run = func(t *testing.T, argv []string) result {
					return spread.interrupt(t, c.as, signals[i%len(signals)], i, argv)
				}
				g.cells = append(g.cells, c)
			}
			groups = append(groups, g)
		}
	}
	path := filepath.Join(ownedDir(f.t, "nobody"), "document")
	g := group{name: "while a file is written"}
	spread := &spread{runs: moments}
	for i := range spread.runs {
		c := toFile(cell{
			fault: "--to FILE", program: emitterProgram, want: whole | failed | killed,
			args: []string{"-f", "statsd", "-i", f.saved, "--max-age", "0", "--to", path},
		}, path)
		verified := c.run
		c.as = command{user: "nobody"}
		c.run = func(t *testing.T, argv []string) result {
			r := spread.interrupt(t, c.as, signals[i%len(signals)], i, argv)
			// The rest of what toFile does, with a program that does nothing.
			after := verified(t, []string{"true"})
			r.stdout += after.stdout
			return r
		}
		g.cells = append(g.cells, c)
	}
	return append(groups, g)
}
