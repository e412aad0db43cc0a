package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.org/postfix-queue-monitor/internal/queue"
)

// Somebody is the user who runs the tests, in the place of root.
func TestTrustConfig(t *testing.T) {
	const writable = "users other than root may write to "
	tests := []struct {
		name    string
		owner   uint32 // relative to this user
		arrange func(top directory) string
		want    string // the error begins so; TOP is the directory of the test
	}{
		{
			name:    "as it should be",
			arrange: func(top directory) string { return top.path("etc") },
		},
		{
			name:    "with slashes",
			arrange: func(top directory) string { return top.path("/etc/./") },
		},
		{
			name:    "of another user",
			owner:   1,
			arrange: func(top directory) string { return top.ofAnotherUser("etc/main.cf", "etc") },
			want:    "TOP/etc/main.cf belongs to another user, ",
		},
		{
			name:    "main.cf for a group",
			arrange: func(top directory) string { return top.mode("etc/main.cf", 0o664, "etc") },
			want:    writable + "TOP/etc/main.cf, ",
		},
		{
			name:    "main.cf for all",
			arrange: func(top directory) string { return top.mode("etc/main.cf", 0o646, "etc") },
			want:    writable + "TOP/etc/main.cf, ",
		},
		{
			name:    "directory for a group",
			arrange: func(top directory) string { return top.mode("etc", 0o775, "etc") },
			want:    writable + "TOP/etc, ",
		},
		{
			name:    "sticky directory for all",
			arrange: func(top directory) string { return top.mode("etc", os.ModeSticky|0o777, "etc") },
			want:    writable + "TOP/etc, ",
		},
		{
			name: "sticky directory for all, by way of another",
			arrange: func(top directory) string {
				top.mode("linked", os.ModeSticky|0o777, "")
				return top.path("linked/below/..")
			},
			want: writable + "TOP/linked, ",
		},
		{
			name:    "directory above it for all",
			arrange: func(top directory) string { return top.mode("", 0o777, "etc") },
			want:    writable + "TOP, ",
		},
		{
			name:    "sticky directory above it for all",
			arrange: func(top directory) string { return top.mode("", os.ModeSticky|0o777, "etc") },
		},
		{
			name:    "link to main.cf",
			arrange: func(top directory) string { return top.link("../etc/main.cf", "linked/main.cf", "linked") },
		},
		{
			name: "link to a main.cf for all",
			arrange: func(top directory) string {
				top.mode("etc/main.cf", 0o666, "")
				return top.link("../etc/main.cf", "linked/main.cf", "linked")
			},
			want: writable + "TOP/etc/main.cf, ",
		},
		{
			name: "link in a directory for all",
			arrange: func(top directory) string {
				top.link("../etc/main.cf", "linked/main.cf", "")
				return top.mode("linked", 0o777, "linked")
			},
			want: writable + "TOP/linked, ",
		},
		{
			name: "link by way of a directory for all",
			arrange: func(top directory) string {
				top.link(top.path("etc"), "linked/etc", "")
				top.link("linked/etc", "link", "")
				return top.mode("linked", 0o777, "link")
			},
			want: writable + "TOP/linked, ",
		},
		{
			name: "above the target of a link",
			arrange: func(top directory) string {
				top.link("linked/below", "link", "")
				return top.mode("linked", 0o777, "link/../../etc/../linked") // not TOP/../linked
			},
			want: writable + "TOP/linked, ",
		},
		{
			name:    "links that go round in circles",
			arrange: func(top directory) string { return top.link("link", "link", "link") },
			want:    "cannot follow the link TOP/link",
		},
		{
			name:    "not there",
			arrange: func(top directory) string { return top.path("nosuch") },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			top := newDirectory(t)
			dir := tt.arrange(top)
			err := trustBelow(top.name, newPostfix(dir, nil, false), uint32(os.Geteuid())+tt.owner)
			said := strings.ReplaceAll(errorText(err), top.name, "TOP")
			if !strings.HasPrefix(said, tt.want) || (err != nil) != (tt.want != "") {
				t.Errorf("got  %s\nwant %s", said, tt.want)
			}
		})
	}
}

// trustBelow judges a configuration. What is above top may be anybody's when an ordinary user runs the tests.
func trustBelow(top string, p postfix, owner uint32) error {
	err := p.trustConfig(owner)
	if err != nil && os.Geteuid() != 0 && !strings.Contains(err.Error(), top) {
		return nil
	}
	return err
}

// directory is a directory with etc/main.cf and linked/below. Its methods return the last path, below it.
type directory struct {
	t    *testing.T
	name string
}

func newDirectory(t *testing.T) directory {
	t.Helper()
	top := directory{t, filepath.Join(t.TempDir(), "top")}
	for _, name := range []string{"", "etc", "linked", "linked/below"} {
		if err := os.Mkdir(top.path(name), 0o755); err != nil {
			t.Fatal(err)
		}
		top.mode(name, 0o755, "") // whatever the umask
	}
	writeFile(t, top.path("etc/main.cf"), "queue_directory = $x\n", 0o644)
	return top
}

func (d directory) path(name string) string { return d.name + "/" + name }

func (d directory) mode(name string, mode os.FileMode, result string) string {
	d.t.Helper()
	if err := os.Chmod(d.path(name), mode); err != nil {
		d.t.Fatal(err)
	}
	return d.path(result)
}

// ofAnotherUser gives a file away, if the test runs as root. An ordinary user judges it as another one.
func (d directory) ofAnotherUser(name, result string) string {
	d.t.Helper()
	if os.Geteuid() == 0 {
		if err := os.Chown(d.path(name), 2, -1); err != nil {
			d.t.Fatal(err)
		}
	}
	return d.path(result)
}

func (d directory) link(target, name, result string) string {
	d.t.Helper()
	if err := os.Symlink(target, d.path(name)); err != nil {
		d.t.Fatal(err)
	}
	return d.path(result)
}

// As root, no program of Postfix runs with the configuration of another user, and no source or instance is an
// exception.
func TestRootTrustsRootOnly(t *testing.T) {
	configDir := newDirectory(t).path("etc")
	if os.Geteuid() == 0 {
		const nobody = 65534
		if err := os.Chown(filepath.Join(configDir, "main.cf"), nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	ran := filepath.Join(t.TempDir(), "ran")
	programs := install(t, map[string]string{"postconf": "echo >" + ran, "postqueue": "echo >" + ran})
	p := newPostfix(configDir, []string{programs}, true)
	mainCF := configDir + "/main.cf"
	want := mainCF + " belongs to another user, and Postfix runs, as root, the programs that main.cf names; " +
		"run this as an ordinary user, or, if the configuration can be trusted, as root: chown -h root " + mainCF
	for _, name := range []string{AutoName, PostqueueName, ShowqName, SpoolName} {
		sources, _, err := p.candidates(t.Context(), name, 0)
		for _, src := range sources {
			_, err = src.Read(t.Context(), queue.Envelopes, func(*queue.Message) {})
		}
		if errorText(err) != want {
			t.Errorf("%s: got  %v\nwant %s", name, err, want)
		}
	}
	if p.presentValue(t.Context(), "x") != nil || p.mailVersion(t.Context()) != "" {
		t.Error("postconf was asked")
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a program ran")
	}
}
