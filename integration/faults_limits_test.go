//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What the programs need for each source; the man pages say so. With less the Go runtime may end them.
const (
	needsFiles        = 16   // RLIMIT_NOFILE
	needsAddressSpace = 15e8 // RLIMIT_AS
	needsData         = 64e6 // RLIMIT_DATA
	needsStack        = 64e3 // RLIMIT_STACK
	needsProcesses    = 16   // RLIMIT_NPROC; threads count
	runtimeNeedsFiles = 7    // with as many files there is an answer, if only UNKNOWN
)

// limits are limits of resources with which the programs must work, or say why they do not.
func (f *faults) limits() []group {
	var groups []group
	for _, source := range f.sources() {
		for _, program := range bothPrograms {
			g := group{name: source.name + " of " + program}
			add := func(limit string, want outcome, more ...string) {
				args := append(append([]string{}, source.args...), more...)
				g.cells = append(g.cells, cell{
					fault: source.name + ", " + limit, as: command{user: source.user}, want: want,
					wrap: append([]string{"prlimit"}, strings.Fields(limit)...), program: program,
					args: programArgs(program, args...), stdin: source.stdin,
				})
			}
			for _, limit := range []string{
				fmt.Sprintf("--nofile=%d", needsFiles), "--nofile=24", "--nofile=64",
				fmt.Sprintf("--as=%.0f", needsAddressSpace), "--as=2000000000", "--as=1000000000",
				fmt.Sprintf("--data=%.0f", needsData),
				fmt.Sprintf("--stack=%.0f", needsStack), "--stack=unlimited",
				"--fsize=0", "--cpu=1", "--core=0", "--memlock=0", "--sigpending=0", "--msgqueue=0", "--locks=0",
			} {
				add(limit, whole)
			}
			for files := runtimeNeedsFiles; files < needsFiles; files++ {
				add(fmt.Sprintf("--nofile=%d", files), whole|failed)
			}
			groups = append(groups, g)
		}
	}
	g := group{name: "processes"}
	for i, program := range append(bothPrograms, bothPrograms...) {
		source := f.source([]string{"postqueue", "a file"}[i/2])
		g.cells = append(g.cells, cell{
			fault: source.name + ", few processes", want: whole, program: program, args: programArgs(program, source.args...),
			as:   command{user: fmt.Sprint(60_000 + i)}, // the kernel counts all that a user has
			wrap: []string{"prlimit", fmt.Sprintf("--nproc=%d", needsProcesses)},
		})
	}
	groups = append(groups, g)
	path := filepath.Join(ownedDir(f.t, "nobody"), "document")
	g = group{name: "a file"}
	for limit, want := range map[string]outcome{"--fsize=0": failed, "--fsize=100": failed, "--fsize=10000": whole} {
		g.cells = append(g.cells, toFile(cell{
			fault: limit, as: nobody, want: want, wrap: []string{"prlimit", limit}, program: emitterProgram,
			args: []string{"-f", "statsd", "-i", f.saved, "--max-age", "0", "--to", path},
		}, path))
	}
	return append(groups, g)
}

// surroundings are file systems without what is usually there.
func (f *faults) surroundings() []group {
	const nothing = "mount -t tmpfs none "
	var groups []group
	for fault, script := range map[string]string{
		"a read-only root":      "",
		"no /proc":              nothing + "/proc",
		"no /sys":               nothing + "/sys",
		"no /dev":               nothing + "/dev",
		"no /proc, /sys, /dev":  nothing + "/proc; " + nothing + "/sys; " + nothing + "/dev",
		"no /run":               nothing + "/run",
		"no user database":      "mount --bind /dev/null /etc/passwd; mount --bind /dev/null /etc/group",
		"no /etc/nsswitch.conf": "mount --bind /dev/null /etc/nsswitch.conf",
		"an empty main.cf":      "mount --bind /dev/null " + configDir + "/main.cf",
	} {
		g := group{name: fault}
		for _, source := range f.sources() {
			want := whole
			// postqueue needs /dev/null, which is also its standard input, and the name of the mail owner.
			usesPrograms := strings.HasSuffix(source.name, "nobody") || source.name == "postqueue"
			switch {
			case usesPrograms && (strings.Contains(fault, "/dev") || fault == "no user database"):
				want = failed
			case fault == "no user database" && source.user == "root":
				want = whole
			case fault == "an empty main.cf":
				want = whole | failed
			}
			for _, program := range bothPrograms {
				g.cells = append(g.cells, cell{
					fault: fault + ", " + source.name, want: want, program: program,
					wrap: f.inside(source.user, script),
					args: programArgs(program, source.args...), stdin: source.stdin,
				})
			}
		}
		groups = append(groups, g)
	}
	groups = append(groups, f.emptyRoot(), f.fullDisk())
	return append(groups, f.environments()...)
}

// emptyRoot is a root with nothing but the program and a queue.
func (f *faults) emptyRoot() group {
	g := group{name: "an empty root"}
	for _, name := range bothPrograms {
		top := publicTempDir(f.t)
		for _, dir := range []string{"bin", "queue"} {
			if err := os.Mkdir(filepath.Join(top, dir), 0o755); err != nil {
				f.t.Fatal(err)
			}
		}
		script := fmt.Sprintf("mount --bind %s %s/queue; mount --bind %s %[2]s/bin", spoolDir, top, binDir())
		g.cells = append(g.cells, cell{
			fault: "an empty root", want: whole, program: name,
			wrap: append(f.inside("root", script), "chroot", top),
			args: programArgs(name, "--queue-directory", "/queue"),
			run: func(t *testing.T, argv []string) result {
				for i, arg := range argv {
					argv[i] = strings.Replace(arg, program(t, name), "/bin/"+name, 1)
				}
				return root.run(t, argv[0], argv[1:]...)
			},
		})
	}
	return g
}

// fullDisk is a file system with no room for a document.
func (f *faults) fullDisk() group {
	g := group{name: "a full disk"}
	dir := publicTempDir(f.t)
	for fault, script := range map[string]string{
		"no space":  "mount -t tmpfs -o size=4k,mode=777 none " + dir + "; head -c 4096 /dev/zero >" + dir + "/full",
		"no inodes": "mount -t tmpfs -o nr_inodes=1,mode=777 none " + dir,
		"read-only": "mount -t tmpfs -o ro none " + dir,
	} {
		g.cells = append(g.cells, cell{
			fault: fault, want: failed, wrap: f.inside("nobody", script), program: emitterProgram,
			args: []string{"-f", "prometheus", "-i", f.saved, "--max-age", "0", "--to", dir + "/document"},
		})
	}
	return g
}

// environments are variables of the Go runtime and of others with a meaning elsewhere.
func (f *faults) environments() []group {
	var groups []group
	for _, setting := range []string{
		"GOMAXPROCS=0", "GOMAXPROCS=junk", "GOGC=junk", "GOGC=off", "GODEBUG=junk", "GODEBUG=netdns=cgo",
		"GOTRACEBACK=crash", "GOMEMLIMIT=1B", "GOMEMLIMIT=1MiB", "HOME=", "TMPDIR=/nosuch",
		"TZ=junk", "LC_ALL=junk", "LANG=tr_TR.UTF-8",
		"MAIL_CONFIG=/nosuch", "MAIL_DEBUG=1", "PATH=", "PATH=/nosuch", "IFS=/",
		"NOTIFY_SOCKET=/nosuch", "LISTEN_FDS=3", "COLUMNS=1", "POSIXLY_CORRECT=1",
	} {
		g := group{name: setting}
		for _, source := range f.sources() {
			for _, program := range bothPrograms {
				g.cells = append(g.cells, cell{
					fault: setting + ", " + source.name, as: command{user: source.user, env: []string{setting}},
					program: program, args: programArgs(program, source.args...), stdin: source.stdin, want: whole,
				})
			}
		}
		groups = append(groups, g)
	}
	return groups
}

// spread is many runs of a program that get a signal at moments spread over the time that it takes.
type spread struct {
	runs int
	took time.Duration // by a run without a signal
}

// interrupt runs the program. The first run gets its signal when it has ended.
func (s *spread) interrupt(t *testing.T, as command, signal unix.Signal, i int, argv []string) result {
	t.Helper()
	running := as.start(t, argv[0], argv[1:]...)
	if i > 0 {
		// A step that has no common factor with the number of runs spreads neighbours.
		moment := s.took * time.Duration(i*77%s.runs) / time.Duration(s.runs)
		timer := time.AfterFunc(moment, func() { _ = running.cmd.Process.Signal(signal) })
		defer timer.Stop()
	}
	r := running.wait()
	if i == 0 {
		s.took = r.duration
	}
	return r
}
