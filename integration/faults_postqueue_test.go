//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// fakePostqueues are what postqueue_failures_test.go leaves out. Each takes the place of postqueue, in a mount
// namespace of its own.
func (f *faults) fakePostqueues() []group {
	listing := "cat " + f.saved + "; "
	half := "head -c 1500 " + f.saved + "; "
	lines := "head -n 3 " + f.saved + "; "
	const both = failed | proved
	scripts := map[string]struct {
		script string
		want   outcome
	}{
		"in order":                       {listing + "exit 0", whole},
		"a listing, then failure":        {listing + "exit 1", both},
		"a listing, then fatal":          {listing + "echo 'postqueue: fatal: no memory' >&2; exit 0", both},
		"a listing, then SIGTERM":        {listing + "kill -TERM $$", both},
		"half, then exit 0":              {half + "exit 0", both},
		"half, then SIGSEGV":             {half + "kill -SEGV $$", both},
		"half, then SIGKILL":             {half + "kill -KILL $$", both},
		"half, then stopped":             {half + "kill -STOP $$", both},
		"stopped at once":                {"kill -STOP $$", failed},
		"stopped with a grandchild":      {"sleep 1000 & kill -STOP $$", failed},
		"lines, then SIGHUP":             {lines + "kill -HUP $$", both},
		"lines, then closed, then sleep": {lines + "exec >&- 2>&-; sleep 1000", both},
		"closed at once":                 {"exec >&-; sleep 1000", failed},
		"slow":                           {"while read -r l; do echo \"$l\"; sleep 0.2; done <" + f.saved, both},
		"slower than a line":             {"printf '{\"queue'; sleep 1000", failed},
		"endless":                        {"while :; do cat " + f.saved + "; done", both},
		"endless garbage":                {"exec yes", failed},
		"endless half lines":             {"exec yes '{\"queue_name\": '", failed},
		"endless without a line end":     {"exec tr '\\0' x </dev/zero", failed},
		"endless NULs":                   {"exec cat /dev/zero", failed},
		"binary":                         {"head -c 100000 /bin/sh", failed},
		"floods both":                    {"exec yes 'postqueue: warning: x' >&2", failed},
		"floods stderr in the end":       {listing + "exec head -c 10000000 /dev/zero >&2", whole},
		"floods stderr, no line end":     {"exec cat /dev/zero >&2", failed},
		"grandchild holds stdout":        {listing + "sleep 1000 2>&- & exit 0", both},
		"grandchild holds stderr":        {listing + "sleep 1000 >&- & exit 0", whole | failed},
		"grandchildren by the dozen": {
			"for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done; " + listing + "exit 0", both,
		},
		"deaf, with a grandchild": {"trap '' TERM INT HUP QUIT; sleep 1000 & wait; sleep 1000", failed},
		"reads its input":         {"cat; " + listing, whole},
	}
	var groups []group
	for name, fake := range scripts {
		path := writeConfig(f.t, "postqueue", "#!/bin/sh\n"+fake.script+"\n")
		if err := os.Chmod(path, 0o755); err != nil {
			f.t.Fatal(err)
		}
		groups = append(groups, f.fakePostqueue(name, path, fake.want))
	}
	dir := publicTempDir(f.t)
	for name, make := range map[string]func(path string) error{
		"not executable": func(path string) error { return os.WriteFile(path, []byte("x"), 0o644) },
		"an empty file":  func(path string) error { return os.WriteFile(path, nil, 0o755) },
		"not a program":  func(path string) error { return os.WriteFile(path, []byte("\x7fELF junk"), 0o755) },
		"no interpreter": func(path string) error { return os.WriteFile(path, []byte("#!/nosuch\n"), 0o755) },
		"its own interpreter": func(path string) error {
			return os.WriteFile(path, []byte("#!"+postqueueProgram+"\n"), 0o755)
		},
		"a device": func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o777, int(unix.Mkdev(1, 3))) },
		"a FIFO":   func(path string) error { return unix.Mkfifo(path, 0o777) },
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := make(path); err != nil {
			f.t.Fatal(err)
		}
		groups = append(groups, f.fakePostqueue(name, path, failed))
	}
	return groups
}

func (f *faults) fakePostqueue(name, path string, want outcome) group {
	g := group{name: name}
	for _, program := range bothPrograms {
		for _, user := range []string{"nobody", "root"} {
			args := []string{"--source", "postqueue", "-t", "0.4"}
			if program == checkProgram && user == "root" {
				args = append(args, "-c", "100")
			}
			g.cells = append(g.cells, cell{
				fault:   name + " for " + user,
				wrap:    f.inside(user, "mount --bind "+path+" "+postqueueProgram),
				program: program,
				args:    programArgs(program, args...),
				want:    want,
			})
		}
	}
	return g
}

// inside runs a command as a user in a mount namespace that a script has changed. The root in there is read-only,
// but not what is mounted on it, such as the temporary directories of the tests.
func (f *faults) inside(user, script string) []string {
	as := ""
	if user != "root" {
		who := credential(f.t, user)
		as = fmt.Sprintf("setpriv --reuid=%d --regid=%d --clear-groups ", who.Uid, who.Gid)
	}
	script += "\nmount -o remount,bind,ro /\nexec " + as + `"$@"`
	return []string{"unshare", "--mount", "sh", "-ec", script, "sh"}
}
