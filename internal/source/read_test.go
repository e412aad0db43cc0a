package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
)

// asOrdinaryUser gives up the rights of root until the test ends: root may read
// and enter what is closed to others. Call it before the test makes its files.
func asOrdinaryUser(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	const nobody = 65534
	if err := syscall.Seteuid(nobody); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Seteuid(0); err != nil {
			t.Fatal(err)
		}
	})
}

// fakePostfix is an instance that runs: a queue with a message on hold, a main.cf,
// and the sockets of qmgr and showq.
type fakePostfix struct{ configDir, queueDir string }

// startPostfix makes an instance whose main.cf has these lines and queue_directory.
func startPostfix(t *testing.T, mainCF string) fakePostfix {
	t.Helper()
	p := fakePostfix{configDir: t.TempDir(), queueDir: t.TempDir()}
	for _, name := range []string{"maildrop", "active", "incoming", "deferred", "defer", "hold", "public"} {
		if err := os.Mkdir(filepath.Join(p.queueDir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(p.queueDir, "hold", "A1"), "T\x035 0S\x01sR\x01rM\x00", 0o700)
	writeFile(t, filepath.Join(p.configDir, "main.cf"), mainCF+"queue_directory = "+p.queueDir+"\n", 0o644)
	listen(t, filepath.Join(p.queueDir, "public", "qmgr"), func(net.Conn) {})
	listen(t, filepath.Join(p.queueDir, "public", "showq"), func(conn net.Conn) {
		fmt.Fprint(conn, banner()+nul("queue_name", "hold", "queue_id", "A1", "time", "5", "size", "7", "")+nul(""))
	})
	return p
}

// removeServices removes the sockets of services.
func (p fakePostfix) removeServices(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(p.queueDir, "public", name)); err != nil {
			t.Fatal(err)
		}
	}
}

func writeFile(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// places replaces the directories of the instance in a text.
func (p fakePostfix) places(text string) string {
	return strings.NewReplacer(p.queueDir, "QUEUE", p.configDir, "CONFIG").Replace(text)
}

const goodPostqueue = `echo '` + jsonLine + `'`

func TestSourceChoice(t *testing.T) {
	const (
		spoolDenied = "spool: this user may not read QUEUE/maildrop: only root and the mail owner may; use --source postqueue"
		showqDenied = "showq: this user may not connect to QUEUE/public/showq: " +
			"only root, the mail owner and its group may; use --source postqueue"
		noMainCF = "postqueue cannot open CONFIG/main.cf: No such file or directory; " +
			"restore the file, or name the right directory with --config-dir"
	)
	remove := func(t *testing.T, path string) {
		t.Helper()
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	replaceByFile := func(t *testing.T, path string) {
		t.Helper()
		remove(t, path)
		writeFile(t, path, "", 0o700)
	}
	closeDir := func(t *testing.T, path string) {
		t.Helper()
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(path, 0o700) }) // for the removal
	}
	tests := []struct {
		name       string
		source     string
		postqueue  string // its script; empty: it answers
		change     func(*testing.T, fakePostfix)
		want       string   // the source of the summary; empty: there is none
		passedOver []string // each with its error
		err        string
	}{
		{
			name:   "the spool is the cheapest",
			source: AutoName,
			want:   SpoolName,
		},
		{
			name:   "a closed spool",
			source: AutoName,
			change: func(t *testing.T, p fakePostfix) {
				t.Helper()
				closeDir(t, filepath.Join(p.queueDir, "maildrop"))
			},
			want:       ShowqName,
			passedOver: []string{spoolDenied},
		},
		{
			name:   "a closed spool and socket",
			source: AutoName,
			change: func(t *testing.T, p fakePostfix) {
				t.Helper()
				closeDir(t, filepath.Join(p.queueDir, "maildrop"))
				closeDir(t, filepath.Join(p.queueDir, "public"))
			},
			want:       PostqueueName,
			passedOver: []string{spoolDenied, showqDenied},
		},
		{
			name:   "a spool that fails",
			source: AutoName,
			change: func(t *testing.T, p fakePostfix) {
				t.Helper()
				replaceByFile(t, filepath.Join(p.queueDir, "deferred"))
			},
			want:       ShowqName,
			passedOver: []string{"spool: cannot read QUEUE/deferred: not a directory"},
		},
		{
			name:   "a spool and a socket that fail",
			source: AutoName,
			change: func(t *testing.T, p fakePostfix) {
				t.Helper()
				replaceByFile(t, filepath.Join(p.queueDir, "deferred"))
				replaceByFile(t, filepath.Join(p.queueDir, "public"))
			},
			want: PostqueueName,
			passedOver: []string{
				"spool: cannot read QUEUE/deferred: not a directory",
				"showq: cannot connect to QUEUE/public/showq: dial unix QUEUE/public/showq: connect: not a directory",
			},
		},
		{
			name:      "everything fails",
			source:    AutoName,
			postqueue: "exit 7",
			change: func(t *testing.T, p fakePostfix) {
				t.Helper()
				closeDir(t, filepath.Join(p.queueDir, "maildrop"))
				closeDir(t, filepath.Join(p.queueDir, "public"))
			},
			want:       PostqueueName,
			passedOver: []string{spoolDenied, showqDenied},
			err:        "postqueue -c CONFIG -j: exit status 7; run it by hand as this user",
		},
		{
			name:   "down is an answer",
			source: AutoName,
			change: func(t *testing.T, p fakePostfix) {
				t.Helper()
				closeDir(t, filepath.Join(p.queueDir, "maildrop"))
				p.removeServices(t, "qmgr", "showq")
			},
			want:       ShowqName,
			passedOver: []string{spoolDenied},
			err:        "mail system is down (QUEUE/public/showq does not exist); start it: postfix -c CONFIG start",
		},
		{
			name:   "no main.cf",
			source: AutoName,
			change: func(t *testing.T, p fakePostfix) {
				t.Helper()
				remove(t, filepath.Join(p.configDir, "main.cf"))
			},
			want:       PostqueueName,
			passedOver: []string{"spool: " + noMainCF, "showq: " + noMainCF},
		},
		{
			name:   "no main.cf, for the spool",
			source: SpoolName,
			change: func(t *testing.T, p fakePostfix) {
				t.Helper()
				remove(t, filepath.Join(p.configDir, "main.cf"))
			},
			err: noMainCF,
		},
		{
			name:   "the spool alone",
			source: SpoolName,
			change: func(t *testing.T, p fakePostfix) {
				t.Helper()
				closeDir(t, filepath.Join(p.queueDir, "deferred"))
			},
			want: SpoolName,
			err:  "this user may not read QUEUE/deferred: only root and the mail owner may; use --source postqueue",
		},
		{
			name:   "showq alone",
			source: ShowqName,
			want:   ShowqName,
		},
		{
			name:   "a closed socket",
			source: ShowqName,
			change: func(t *testing.T, p fakePostfix) {
				t.Helper()
				closeDir(t, filepath.Join(p.queueDir, "public"))
			},
			want: ShowqName,
			err:  strings.TrimPrefix(showqDenied, "showq: "),
		},
		{
			name:   "postqueue alone, without main.cf",
			source: PostqueueName,
			change: func(t *testing.T, p fakePostfix) {
				t.Helper()
				remove(t, filepath.Join(p.configDir, "main.cf"))
			},
			want: PostqueueName,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asOrdinaryUser(t)
			p := startPostfix(t, "")
			script := goodPostqueue
			if tt.postqueue != "" {
				script = tt.postqueue
			}
			programs := install(t, map[string]string{"postqueue": script})
			if tt.change != nil {
				tt.change(t, p)
			}
			readings := ReadAll(t.Context(), Request{
				ConfigDirs: []string{p.configDir}, Source: tt.source, programDirs: []string{programs},
			})
			if len(readings) != 1 || readings[0].Instance.ConfigDir != p.configDir {
				t.Fatalf("readings: %+v", readings)
			}
			got := readings[0]
			places := func(err error) string { return strings.ReplaceAll(p.places(errorText(err)), programs+"/", "") }
			if places(got.Err) != tt.err {
				t.Errorf("error %q, want %q", places(got.Err), tt.err)
			}
			var passedOver []string
			for _, a := range got.PassedOver {
				passedOver = append(passedOver, a.Source+": "+places(a.Err))
			}
			if diff := cmp.Diff(tt.passedOver, passedOver); diff != "" {
				t.Errorf("passed over (-want +got):\n%s", diff)
			}
			switch {
			case tt.want == "" && got.Summary != nil:
				t.Errorf("summary of source %s, want none", got.Summary.Source)
			case tt.want == "":
			case got.Summary == nil || got.Summary.Source != tt.want:
				t.Errorf("summary %+v, want one of source %s", got.Summary, tt.want)
			case tt.err == "" && (got.Summary.Total.Messages != 1 || got.Summary.Partial || got.Summary.Down != ""):
				t.Errorf("summary %+v, want one message", got.Summary)
			}
		})
	}
}

// The directory that --queue-directory names is read without a program of Postfix.
func TestQueueDirectory(t *testing.T) {
	p := startPostfix(t, "")
	tests := []struct {
		name   string
		change func(t *testing.T)
		down   string
		unseen string
		err    string
	}{
		{name: "running", change: func(*testing.T) {}},
		{
			name: "another name of the queue manager",
			change: func(t *testing.T) {
				t.Helper()
				p.removeServices(t, "qmgr")
			},
		},
		{
			name: "no sockets, as if only the queues were mounted",
			change: func(t *testing.T) {
				t.Helper()
				p.removeServices(t, "showq")
			},
			unseen: "QUEUE/public/qmgr does not exist",
		},
		{
			name: "stopped",
			change: func(t *testing.T) {
				t.Helper()
				leaveSocket(t, filepath.Join(p.queueDir, "public", "qmgr"))
			},
			down: "nothing listens on QUEUE/public/qmgr",
		},
		{
			name: "stopped, with another name of the queue manager",
			change: func(t *testing.T) {
				t.Helper()
				p.removeServices(t, "qmgr")
				leaveSocket(t, filepath.Join(p.queueDir, "public", "showq"))
			},
			down: "nothing listens on QUEUE/public/showq",
		},
		{
			name: "another directory",
			change: func(t *testing.T) {
				t.Helper()
				if err := os.Remove(filepath.Join(p.queueDir, "maildrop")); err != nil {
					t.Fatal(err)
				}
			},
			err: "QUEUE is not a Postfix queue directory; name the right one, or create what is missing: postfix check",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.change(t)
			got := ReadAll(t.Context(), Request{QueueDir: p.queueDir, Source: AutoName, programDirs: []string{t.TempDir()}})
			if len(got) != 1 || got[0].Instance != (queue.Instance{Name: LocalName}) ||
				p.places(errorText(got[0].Err)) != tt.err {
				t.Fatalf("readings %+v, want error %q", got, tt.err)
			}
			if s := got[0].Summary; s.Source != SpoolName || p.places(s.Down) != tt.down ||
				p.places(s.Unseen) != tt.unseen || (tt.err == "" && s.Total.Messages != 1) {
				t.Errorf("summary %+v, want one message, down %q, unseen %q", s, tt.down, tt.unseen)
			}
		})
	}
}

// In maildrop the size depends on the version, which postconf knows.
func TestSizeInMaildrop(t *testing.T) {
	const file = "C\x0250S\x01sR\x01rM\x00"
	p := startPostfix(t, "")
	writeFile(t, filepath.Join(p.queueDir, "maildrop", "B1"), file, 0o700)
	for name, tt := range map[string]struct {
		postconf string
		want     int64
	}{
		"an old version":     {"echo 3.5.0", 50},
		"a new version":      {"echo 3.11.0", int64(len(file))},
		"an unknown version": {"exit 1", int64(len(file))},
	} {
		t.Run(name, func(t *testing.T) {
			programs := install(t, map[string]string{"postconf": `[ "$3 $4" = "-xh mail_version" ] && ` + tt.postconf})
			got := ReadAll(t.Context(), Request{
				ConfigDirs: []string{p.configDir}, Source: SpoolName, programDirs: []string{programs},
			})
			if got[0].Err != nil || got[0].Summary.Queues[queue.Maildrop].SizeBytes != tt.want {
				t.Errorf("reading %+v, want %d bytes", got[0], tt.want)
			}
		})
	}
}

func TestIsFinal(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		err  error
		want bool
	}{
		{"success", t.Context(), nil, true},
		{"the end of the time", ended, errors.New("late"), true},
		{"down", t.Context(), &queue.DownError{}, true},
		{"queues that look alike", t.Context(), fmt.Errorf("x: %w", &queue.IndistinctError{}), true},
		{"no arrival times", t.Context(), fmt.Errorf("x: %w", queue.ErrNoArrivalTimes), true},
		{"anything else", t.Context(), os.ErrPermission, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := isFinal(tt.ctx, tt.err); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// panicking is a context that panics when it is asked for its end.
type panicking struct{ context.Context }

func (panicking) Err() error { panic("oops") }

func TestPanicBecomesAnError(t *testing.T) {
	p := startPostfix(t, "")
	programs := []string{install(t, map[string]string{"postmulti": "exit 1", "postconf": "exit 1"})}
	for name, req := range map[string]Request{
		"an input":      {Input: filepath.Join(listings, "3.7.11", "mixed.json")},
		"the instances": {AllInstances: true, Source: AutoName, programDirs: programs},
		"a directory":   {QueueDir: p.queueDir, Source: AutoName},
		"a source":      {ConfigDirs: []string{p.configDir}, Source: SpoolName},
	} {
		t.Run(name, func(t *testing.T) {
			got := ReadAll(panicking{t.Context()}, req)
			if len(got) != 1 || errorText(got[0].Err) != "internal error: oops; please report it" {
				t.Errorf("readings %+v", got)
			}
		})
	}
}

func TestReadAllEndsWithItsContext(t *testing.T) {
	p := startPostfix(t, "")
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(context.DeadlineExceeded)
	dirs := []string{p.configDir}
	programs := []string{install(t, map[string]string{
		"postqueue": goodPostqueue, "postmulti": "echo - - y " + p.configDir, "postconf": "echo",
	})}
	for name, req := range map[string]Request{
		"an input":      {Input: filepath.Join(listings, "3.7.11", "mixed.json")},
		"a directory":   {QueueDir: p.queueDir, Source: AutoName},
		"all instances": {AllInstances: true, Source: AutoName, programDirs: programs},
		"auto":          {ConfigDirs: dirs, Source: AutoName, programDirs: programs},
		"spool":         {ConfigDirs: dirs, Source: SpoolName, programDirs: programs},
		"showq":         {ConfigDirs: dirs, Source: ShowqName, programDirs: programs},
		"postqueue":     {ConfigDirs: dirs, Source: PostqueueName, programDirs: programs},
		"no main.cf":    {ConfigDirs: []string{t.TempDir()}, Source: AutoName, programDirs: programs},
	} {
		t.Run(name, func(t *testing.T) {
			got := ReadAll(ended, req)
			// A part of the queue must not pass for the whole.
			if len(got) != 1 || got[0].Complete() || got[0].Err == nil {
				t.Errorf("readings %+v", got)
			}
		})
	}
}

// Together the instances open no more files than this process may.
func TestBudgetOfOpenFiles(t *testing.T) {
	list := filepath.Join(t.TempDir(), "files")
	programs := install(t, map[string]string{
		// Reading maildrop runs this program while files are open. It lists them.
		"postconf": `case "$*" in *mail_version) readlink /proc/$PPID/fd/* >` + list + `; echo 3.5.0 ;; esac`,
	})
	reading, empty := startPostfix(t, ""), startPostfix(t, "multi_instance_name = empty\n")
	for i := range 200 { // one batch of names, for one worker
		writeFile(t, filepath.Join(reading.queueDir, "maildrop", fmt.Sprintf("A%X", i)), "C\x010S\x01sR\x01rM\x00", 0o700)
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = 2 * (32 + 4*2*5) // for each of two instances: directories, and five messages for each worker
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
	got := ReadAll(t.Context(), Request{
		ConfigDirs:  []string{reading.configDir, empty.configDir},
		Source:      SpoolName,
		Query:       queue.Query{Reasons: true},
		programDirs: []string{programs},
	})
	if got[0].Err != nil || got[0].Summary.Total.Messages != 201 {
		t.Fatalf("reading %+v", got[0])
	}
	files, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(files), filepath.Join(reading.queueDir, "maildrop")+"/"); n != 5 {
		t.Errorf("%d messages are open, want 5:\n%s", n, files)
	}
}

func TestEverySourceReads(t *testing.T) {
	p := startPostfix(t, "")
	programs := install(t, map[string]string{"postqueue": goodPostqueue})
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			got := ReadAll(t.Context(), Request{
				ConfigDirs:  []string{p.configDir},
				Source:      name,
				programDirs: []string{programs},
			})
			if len(got) != 1 || !got[0].Complete() || got[0].Summary.Total.Messages != 1 || got[0].PassedOver != nil {
				t.Errorf("readings %+v", got)
			}
		})
	}
}
