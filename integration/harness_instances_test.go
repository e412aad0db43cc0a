//go:build integration

package integration

import (
	"path/filepath"
	"slices"
	"testing"
)

// A secondInstance is an instance of Postfix beside the first, postfix-out. It has its own queue and no
// network.
type secondInstance struct {
	*postfixInstance
	dir string
}

// newSecondInstance sets up an instance that is not running yet. The first one, which runs, knows it; if that
// is started again, it starts both. The instance is stopped when the test ends.
func newSecondInstance(p *postfixInstance) *secondInstance {
	p.t.Helper()
	const name = "postfix-out"
	out := &secondInstance{p, filepath.Join(publicTempDir(p.t), name)}
	p.must(runAs(p.t, "root", "postmulti", "-e", "init"))
	p.must(runAs(p.t, "root", "postmulti", "-I", name, "-G", "mta", "-e", "create",
		"config_directory="+out.dir,
		"queue_directory="+publicTempDir(p.t),
		"data_directory="+ownedDir(p.t, "postfix"),
	))
	settings := slices.Concat(testSettings, []string{"master_service_disable=inet", "authorized_submit_users=root"})
	p.must(runAs(p.t, "root", "postconf", slices.Concat([]string{"-c", out.dir, "-e"}, settings)...))
	p.must(runAs(p.t, "root", "postmulti", "-i", name, "-e", "enable"))
	p.settle(out.dir)
	p.settle(configDir)
	p.t.Cleanup(out.stop)
	return out
}

func (out *secondInstance) start() {
	out.t.Helper()
	out.must(runAs(out.t, "root", "postfix", "-c", out.dir, "start"))
}

func (out *secondInstance) running() bool {
	return runAs(out.t, "root", "postfix", "-c", out.dir, "status").exitCode == 0
}

func (out *secondInstance) stop() {
	out.t.Helper()
	if out.running() {
		out.must(runAs(out.t, "root", "postfix", "-c", out.dir, "stop"))
	}
}

// deferMail adds n messages to the deferred queue and returns the listing.
func (out *secondInstance) deferMail(n int) listing {
	out.t.Helper()
	m := mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 5000}
	for range n {
		sendmail := []string{"/usr/sbin/sendmail", "-C", out.dir, "-i", "-f", m.from, m.to[0]}
		out.must(command{stdin: m.content()}.run(out.t, sendmail[0], sendmail[1:]...))
	}
	var listed listing
	waitFor(out.t, "the queue of postfix-out", func() (bool, any) {
		r := out.must(out.postqueue("-c", out.dir, "-j"))
		var err error
		if listed, err = parseListing(r.stdout); err != nil {
			out.t.Fatal(err)
		}
		return len(listed) >= n && len(listed.in("deferred")) == len(listed), r
	})
	return listed
}

// copyConfig copies the configuration of the default instance to another directory.
func copyConfig(t testing.TB) (dir string) {
	t.Helper()
	dir = publicTempDir(t)
	if r := root.run(t, "cp", "-a", configDir+"/.", dir); r.exitCode != 0 {
		t.Fatal(r)
	}
	return dir
}
