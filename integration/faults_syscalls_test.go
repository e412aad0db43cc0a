//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// An injection makes system calls of the program fail, not those of the programs that it runs.
type injection struct {
	calls  string // with commas between them
	errnos string // with blanks between them
	path   string // only calls for this file
	when   string // which of the calls of each thread; all if empty
	want   outcome
}

// traced are the cells of an injection: one for each error number.
func traced(t *testing.T, source faultSource, program string, args []string, in injection) []cell {
	t.Helper()
	var cells []cell
	for errno := range strings.FieldsSeq(in.errnos) {
		trace := filepath.Join(t.TempDir(), "trace")
		inject := fmt.Sprintf("inject=%s:error=%s", in.calls, errno)
		if in.when != "" {
			inject += ":when=" + in.when
		}
		// -b: what the program runs is not traced.
		strace := []string{"strace", "-f", "-b", "execve", "-qq", "-u", source.user, "-o", trace, "-e", inject,
			"-e", "trace=" + in.calls}
		if in.path != "" {
			strace = append(strace, "-P", in.path)
		}
		cells = append(cells, cell{
			fault:   fmt.Sprintf("%s, %s %s of %s", source.name, inject, in.path, in.when),
			wrap:    append(strace, "--"),
			program: program,
			args:    append(slices.Clone(source.args), args...),
			stdin:   source.stdin,
			want:    in.want,
			isHit: func() bool {
				log, err := os.ReadFile(trace)
				if err != nil {
					t.Error(err)
				}
				return strings.Contains(string(log), "(INJECTED)")
			},
		})
	}
	return cells
}

// What the kernel may answer.
const (
	fewResources  = "EMFILE ENFILE ENOMEM "
	badDisk       = "EIO ESTALE ETIMEDOUT "
	openErrors    = fewResources + badDisk + "ELOOP ENXIO"
	statErrors    = badDisk + "ENOMEM"
	readErrors    = "EIO ESTALE ETIMEDOUT"
	connectErrors = "EACCES EAGAIN ENOMEM EPROTOTYPE"
)

// systemCalls are errors of chosen files, so that it is known what must come of them.
func (f *faults) systemCalls() []group {
	needStrace(f.t)
	const mainCF, qmgr = configDir + "/main.cf", spoolDir + "/public/qmgr"
	var groups []group
	add := func(name, source string, more func(program string) []string, injections ...injection) {
		for _, program := range bothPrograms {
			g := group{name: name + " of " + program}
			for _, in := range injections {
				args := programArgs(program, more(program)...)
				g.cells = append(g.cells, traced(f.t, f.source(source), program, args, in)...)
			}
			groups = append(groups, g)
		}
	}
	plain := func(string) []string { return nil }
	withReasons := func(program string) []string {
		if program == checkProgram {
			return []string{"-w", "deferred_other=1000"}
		}
		return []string{"--by-reason"}
	}
	for _, source := range []string{"spool", "showq"} {
		// postconf knows what main.cf does not say.
		add("main.cf, "+source, source, plain,
			injection{calls: "openat", path: mainCF, errnos: openErrors, want: whole | failed},
			injection{calls: "openat", path: mainCF, errnos: "EACCES", want: failed},
			injection{calls: "openat", path: mainCF, errnos: "EINTR", when: "1", want: whole},
			injection{calls: "read", path: mainCF, errnos: readErrors, want: whole},
			injection{calls: "close,fstat", path: mainCF, errnos: "EIO", want: whole},
			injection{calls: "newfstatat", path: spoolDir + "/active", errnos: statErrors, want: whole | failed},
		)
	}
	for _, queue := range queueNames {
		dir := filepath.Join(spoolDir, queue)
		add("directory "+queue, "spool", plain,
			injection{calls: "openat", path: dir, errnos: openErrors + " EACCES", want: failed},
			injection{calls: "getdents64", path: dir, errnos: badDisk + "ENOMEM", want: failed},
			injection{calls: "close", path: dir, errnos: "EIO", want: whole},
		)
	}
	for _, file := range []string{f.queueFile("deferred", 0), f.queueFile("hold", 1), f.queueFile("maildrop", 0)} {
		for variant, more := range map[string]func(string) []string{"": plain, ", with reasons": withReasons} {
			source := "spool"
			if strings.Contains(file, "hold") {
				source = "spool as the mail owner"
			}
			denied := failed
			if strings.Contains(file, "maildrop") {
				denied = 0 // Postfix does not count it either: surroundings has it
			}
			name := filepath.Base(file)
			// The file is opened by its name in its directory.
			injections := []injection{
				{calls: "openat", path: name, errnos: openErrors, want: failed},
				// Once more without O_NOATIME, by another thread perhaps.
				{calls: "openat", path: name, errnos: "EPERM", when: "1", want: whole | failed},
				{calls: "openat", path: name, errnos: "EINTR", when: "1", want: whole},
				{calls: "fstat", path: file, errnos: statErrors, want: failed},
				{calls: "preadv2", path: file, errnos: "EAGAIN EOPNOTSUPP ENOSYS " + readErrors, want: whole},
				{calls: "preadv2,pread64", path: file, errnos: readErrors, want: failed},
				{calls: "pread64", path: file, errnos: "EINTR", when: "1", want: whole},
				{calls: "fadvise64", path: file, errnos: "EINVAL ENOSYS EIO", want: whole},
				{calls: "close", path: file, errnos: "EIO EINTR", want: whole},
			}
			if denied != 0 {
				injections = append(injections, injection{calls: "openat", path: name, errnos: "EACCES", want: denied})
			}
			add(filepath.Dir(strings.TrimPrefix(file, spoolDir+"/"))+variant, source, more, injections...)
		}
	}
	id := f.queue.in("deferred")[0].ID
	hashed := filepath.Join(filepath.Base(filepath.Dir(f.queueFile("deferred", 0))), id)
	log := filepath.Join(spoolDir, "defer", hashed)
	add("defer log", "spool", withReasons,
		injection{calls: "openat", path: spoolDir + "/defer", errnos: openErrors + " EACCES", want: failed},
		injection{calls: "openat", path: hashed, errnos: fewResources + badDisk, want: failed},
		injection{calls: "read", path: log, errnos: readErrors, want: failed},
		injection{calls: "read", path: log, errnos: "EINTR", when: "1", want: whole},
	)
	add("queue manager", "spool", plain,
		injection{calls: "newfstatat", path: qmgr, errnos: statErrors + " EACCES", want: whole},
		injection{calls: "connect", errnos: connectErrors, want: whole},
		injection{calls: "connect", errnos: "ECONNREFUSED", want: down},
		injection{calls: "socket", errnos: fewResources + "ENOBUFS EACCES", want: whole},
	)
	add("socket of showq", "showq", plain,
		injection{calls: "connect", errnos: connectErrors, want: failed},
		injection{calls: "connect", errnos: "ECONNREFUSED", want: down},
		injection{calls: "socket", errnos: fewResources + "ENOBUFS EACCES", want: failed},
	)
	// auto has other ways.
	add("socket of showq, auto", "auto", plain,
		injection{calls: "faccessat2", errnos: "EACCES ENOSYS EIO", want: whole},
		injection{calls: "openat", path: spoolDir + "/active", errnos: openErrors + " EACCES", want: whole},
		injection{calls: "openat", path: f.queueFile("deferred", 0), errnos: openErrors, want: whole},
		injection{calls: "getdents64", errnos: badDisk + "ENOMEM", want: whole},
	)
	for _, source := range []string{"postqueue", "auto as nobody"} {
		add("running postqueue, "+source, source, plain,
			injection{calls: "pipe2", errnos: "EMFILE ENFILE", want: failed},
			injection{calls: "pidfd_open,pidfd_send_signal", errnos: "ENOSYS EPERM", want: whole}, // old kernels
			injection{calls: "waitid", errnos: "EINTR", when: "1", want: whole},
			injection{calls: "kill", errnos: "ESRCH EPERM", want: whole}, // it has ended
			injection{calls: "setpgid", errnos: "EPERM", want: failed},
		)
	}
	add("a file as input", "a file", plain,
		injection{calls: "openat", path: f.saved, errnos: openErrors + " EACCES", want: failed},
		injection{calls: "openat", path: f.saved, errnos: "EINTR", when: "1", want: whole},
		injection{calls: "fstat", path: f.saved, errnos: statErrors, want: failed},
		injection{calls: "read", path: f.saved, errnos: readErrors + " ENOMEM", want: failed},
		injection{calls: "read", path: f.saved, errnos: "EINTR", when: "1", want: whole},
		injection{calls: "ppoll", errnos: "ENOMEM", want: failed},
		injection{calls: "ppoll", errnos: "EINTR", when: "1..2", want: whole},
		injection{calls: "close", path: f.saved, errnos: "EIO", want: whole},
	)
	return groups
}

// numberedCalls are errors of the first, second and so on of all calls of a kind, whatever they are for. Calls
// that only the Go runtime makes are left out, and so are reads of pipes, which never fail.
func (f *faults) numberedCalls() []group {
	var groups []group
	for _, source := range f.sources() {
		// In whatever way a connection fails, one that is refused means down. Root then reads without Postfix.
		injections := []injection{
			{calls: "openat", errnos: "EMFILE EIO ENOMEM", want: whole | failed},
			{calls: "fstat,newfstatat", errnos: "EIO ESTALE", want: whole | failed},
			{calls: "getdents64", errnos: "EIO ESTALE", want: whole | failed},
			{calls: "preadv2,pread64", errnos: "EIO ESTALE", want: whole | failed},
			{calls: "connect", errnos: "ECONNREFUSED EACCES", want: whole | failed | down},
			{calls: "fadvise64", errnos: "EIO", want: whole},
		}
		if source.user != "nobody" || slices.Contains(source.args, "--input") {
			injections = append(injections, injection{calls: "read", errnos: "EIO EINTR", want: whole | failed},
				// Not while there are pipes: the kernel closes them in spite of an error, strace does not.
				injection{calls: "close", errnos: "EIO", want: whole | failed})
		}
		for _, in := range injections {
			g := group{name: source.name + ", " + in.calls}
			for _, in.when = range []string{"1", "2", "3", "4+", "7", "2+2"} {
				for _, program := range bothPrograms {
					g.cells = append(g.cells, traced(f.t, source, program, programArgs(program), in)...)
				}
			}
			groups = append(groups, g)
		}
	}
	return groups
}

// writes are errors of writing the answer, to standard output or a file.
func (f *faults) writes() []group {
	const diskErrors = "EIO ENOSPC EDQUOT EFBIG "
	file := f.source("a file")
	var groups []group
	for _, program := range bothPrograms {
		stdout := filepath.Join(ownedDir(f.t, "nobody"), "stdout")
		redirect := []string{"sh", "-c", `exec "$@" >` + stdout, "sh"}
		g := group{name: "standard output of " + program}
		for _, in := range []injection{
			{calls: "write", path: stdout, errnos: diskErrors + "EPIPE", want: mute | failed},
			{calls: "fstat", path: stdout, errnos: "EIO", want: whole},
		} {
			for _, c := range traced(f.t, file, program, programArgs(program), in) {
				c.wrap = append(redirect, c.wrap...)
				c.run = func(t *testing.T, argv []string) result {
					r := command{}.run(t, argv[0], argv[1:]...)
					r.stdout += readContrib(t, stdout)
					return r
				}
				g.cells = append(g.cells, c)
			}
		}
		groups = append(groups, g)
	}
	// The calls that nothing else makes. What cannot be written at all is in surroundings and limits.
	g := group{name: "a file"}
	for _, in := range []injection{
		{calls: "fsync", errnos: diskErrors, want: failed},
		{calls: "fchmod", errnos: "EPERM EIO EROFS", want: failed},
		{calls: "renameat", errnos: diskErrors + "EROFS EACCES ENOMEM", want: failed},
		{calls: "linkat", errnos: diskErrors + "EPERM EXDEV EMLINK ENOENT", want: whole}, // a file with a name instead
		{calls: "linkat,renameat", errnos: diskErrors, want: failed},
		{calls: "newfstatat", errnos: "EIO ESTALE EACCES", want: failed},
	} {
		path := filepath.Join(ownedDir(f.t, "nobody"), "document")
		args := programArgs(emitterProgram, "--to", path)
		for _, c := range traced(f.t, file, emitterProgram, args, in) {
			g.cells = append(g.cells, toFile(c, path))
		}
	}
	return append(groups, g)
}

// toFile makes a cell replace a file. What is in it counts as what the emitter printed; after a failure that must
// be the old document. Nothing else may be in its directory.
func toFile(c cell, path string) cell {
	const old = "old\n"
	c.prepare = func(t *testing.T) func() {
		if err := os.WriteFile(path, []byte(old), 0o666); err != nil {
			t.Fatal(err)
		}
		return func() {}
	}
	c.run = func(t *testing.T, argv []string) result {
		r := c.as.run(t, argv[0], argv[1:]...)
		if document := readContrib(t, path); document != old {
			r.stdout += document
		}
		if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
			t.Errorf("left behind: %v, %v", entries, err)
		}
		return r
	}
	return c
}

func needStrace(t *testing.T) {
	t.Helper()
	needFiles(t, "strace", "/usr/bin/strace")
}
