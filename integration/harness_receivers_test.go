//go:build integration && receivers

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A receiverRoot is the root of a Debian release with monitoring systems in it, which receivers.sh has made. What is
// written to it is gone when the test ends.
type receiverRoot struct {
	t   testing.TB
	dir string
}

// newReceiverRoot leaves the test out if there is no root of that release.
func newReceiverRoot(t testing.TB, suite string) receiverRoot {
	t.Helper()
	made, err := filepath.Abs(filepath.Join("../build/receivers", suite))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(made, "etc/passwd")); err != nil {
		leaveOut(t, fmt.Sprintf("no root of Debian %s, which make receivers makes: %v", suite, err))
	}
	dir, layers := publicTempDir(t), publicTempDir(t)
	for _, layer := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(layers, layer), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mount(t, "overlay", fmt.Sprintf("lowerdir=%s,upperdir=%[2]s/upper,workdir=%[2]s/work", made, layers), dir)
	mount(t, "proc", "", filepath.Join(dir, "proc"))
	mount(t, "tmpfs", "mode=1777", filepath.Join(dir, "tmp"))
	bind(t, "/dev", filepath.Join(dir, "dev"))
	mount(t, "tmpfs", "mode=1777", filepath.Join(dir, "dev/shm"))
	return receiverRoot{t, dir}
}

// glob returns the one file that matches, as its programs see it.
func (r receiverRoot) glob(pattern string) string {
	r.t.Helper()
	found, err := filepath.Glob(filepath.Join(r.dir, pattern))
	if err != nil || len(found) != 1 {
		r.t.Fatalf("%s: want one file, got %q, %v", pattern, found, err)
	}
	return found[0][len(r.dir):]
}

// write writes a file that every user can read.
func (r receiverRoot) write(path, content string) {
	r.t.Helper()
	path = filepath.Join(r.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// within is how a program is run in there.
func (r receiverRoot) within(user string, program ...string) []string {
	return append([]string{"--userspec=" + user, r.dir}, program...)
}

// run runs a program, which must succeed.
func (r receiverRoot) run(user string, program ...string) result {
	r.t.Helper()
	got := root.run(r.t, "chroot", r.within(user, program...)...)
	if got.exitCode != 0 {
		r.t.Fatalf("%q: %s", program, got)
	}
	return got
}

// start starts a daemon that stays in the foreground.
func (r receiverRoot) start(user string, program ...string) {
	r.t.Helper()
	startDaemon(r.t, command{}, "chroot", r.within(user, program...)...)
}

// postgresSocket is the directory of PostgreSQL's socket. It has no port.
const postgresSocket = "/tmp"

// startPostgres starts a PostgreSQL with an empty database and returns the command that runs psql on it.
func (r receiverRoot) startPostgres(database string) (psql string) {
	r.t.Helper()
	bin, data := filepath.Dir(r.glob("/usr/lib/postgresql/*/bin/postgres")), "/tmp/postgresql"
	r.run("postgres", bin+"/initdb", "-D", data, "-A", "trust", "-E", "UTF8", "--locale=C")
	r.start("postgres", bin+"/postgres", "-D", data, "-c", "listen_addresses=",
		"-c", "unix_socket_directories="+postgresSocket, "-c", "fsync=off", "-c", "full_page_writes=off")
	waitFor(r.t, "PostgreSQL", func() (bool, any) {
		err := unix.Access(filepath.Join(r.dir, postgresSocket, ".s.PGSQL.5432"), unix.F_OK)
		if err != nil {
			return false, err
		}
		got := root.run(r.t, "chroot", r.within("postgres", bin+"/createdb", "-h", postgresSocket, database)...)
		return got.exitCode == 0, got
	})
	return bin + "/psql -q -v ON_ERROR_STOP=1 -h " + postgresSocket + " -U postgres " + database
}

// startMariaDB starts a MariaDB with an empty database, for root without a password, and returns the command of its
// client.
func (r receiverRoot) startMariaDB(database string) (mysql []string) {
	r.t.Helper()
	const data, socket = "/tmp/mariadb", "/run/mysqld/mysqld.sock"
	r.run("root", "mkdir", "-p", data, filepath.Dir(socket))
	r.run("root", "chown", "mysql:", data, filepath.Dir(socket))
	r.run("mysql", "mysql_install_db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal",
		"--skip-test-db")
	r.start("mysql", "/usr/sbin/mariadbd", "--no-defaults", "--datadir="+data, "--socket="+socket, "--skip-networking",
		"--innodb-flush-log-at-trx-commit=0")
	mysql = []string{"mysql", "--socket=" + socket}
	create := "CREATE DATABASE " + database + " CHARACTER SET utf8mb4"
	waitFor(r.t, "MariaDB", func() (bool, any) {
		got := root.run(r.t, "chroot", r.within("root", append(mysql, "-e", create)...)...)
		return got.exitCode == 0, got
	})
	return mysql
}
