package disk

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A directory is the same as the kernel finds by its path, but for links of somebody who is not trusted.
func TestOpenDir(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.MkdirAll("a/b", 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile := func(name string) {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeFile("a/file")
	for link, target := range map[string]string{
		"relative": "a", "absolute": dir + "/a/b", "a/up": "../a/b", "chain": "relative/up", "dangling": "nowhere",
		"loop": "loop", "tofile": "a/file",
	} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	everybody := func(string, *unix.Stat_t) error { return nil }
	untrusted := errors.New("a link")
	nobody := func(_ string, stat *unix.Stat_t) error {
		if stat.Mode&unix.S_IFMT == unix.S_IFLNK {
			return untrusted
		}
		return nil
	}
	tests := []struct {
		path, want string // want: the same as this path; empty: an error
		leadsBy    bool   // a link
	}{
		{path: "/", want: "/"},
		{path: ".", want: "."},
		{path: dir + "//a/./b/", want: "a/b"},
		{path: "a/../a", want: "a"},
		{path: "relative", want: "a", leadsBy: true},
		{path: "relative/b", want: "a/b", leadsBy: true},
		{path: "absolute", want: "a/b", leadsBy: true},
		{path: "absolute/..", want: "a", leadsBy: true},
		{path: "chain", want: "a/b", leadsBy: true},
		{path: "a/file"},
		{path: "a/file/x"},
		{path: "nowhere"},
		{path: "dangling", leadsBy: true},
		{path: "loop", leadsBy: true},
		{path: "tofile", leadsBy: true},
	}
	for _, tt := range tests {
		got, err := OpenDir(tt.path, everybody)
		if tt.want == "" {
			if err == nil {
				t.Errorf("%s: no error", tt.path)
			}
		} else if err != nil {
			t.Errorf("%s: %v", tt.path, err)
		} else if same := sameFile(t, got, tt.want); !same {
			t.Errorf("%s is not %s", tt.path, tt.want)
		}
		refused := tt.leadsBy
		got, err = OpenDir(tt.path, nobody)
		if (err == nil) != (!refused && tt.want != "") {
			t.Errorf("%s, if no link is trusted: %v, %v", tt.path, got, err)
		}
		if refused && !errors.Is(err, untrusted) {
			t.Errorf("%s, if no link is trusted: %v", tt.path, err)
		}
	}
}

func sameFile(t *testing.T, dir *os.File, path string) bool {
	t.Helper()
	var a, b unix.Stat_t
	if err := errors.Join(unix.Fstat(int(dir.Fd()), &a), unix.Stat(path, &b)); err != nil {
		t.Fatal(err)
	}
	return a.Ino == b.Ino && a.Dev == b.Dev
}
