package trend

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
)

// somewhere is a file that is not there yet, in a directory of this user's.
func somewhere(t *testing.T) File {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) }) // so that it can be removed
	return File(filepath.Join(dir, "state"))
}

var aKey = NewKey(queue.Instance{Name: "a"}, "", queue.Filter{})

// written is a file with one sample: 100 messages at at(0).
func written(t *testing.T) File {
	t.Helper()
	path := somewhere(t)
	if growth, err := path.Record(t.Context(), at(0), map[Key]int64{aKey: 100}); err != nil || len(growth) > 0 {
		t.Fatalf("%v, %v", growth, err)
	}
	return path
}

// content returns the file's, and fails the test if it is not as Record leaves it.
func content(t *testing.T, path File) document {
	t.Helper()
	info, err := os.Lstat(string(path))
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	f, err := os.Open(string(path))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(filepath.Dir(string(path))); err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
	return d
}

func TestRecord(t *testing.T) {
	path := written(t)
	growth, err := path.Record(t.Context(), at(time.Minute), map[Key]int64{aKey: 110})
	if want := (queue.Growth{PerHour: 600, Steady: true}); err != nil || growth[aKey] != want {
		t.Errorf("growth %+v, %v", growth, err)
	}
	if d := content(t, path); len(d.Series[aKey]) != 2 {
		t.Errorf("%+v", d)
	}
}

// What is in the way says so, stays as it is, and has no growth.
func TestFileThatIsNotTaken(t *testing.T) {
	tests := []struct {
		name string
		make func(path string) error
		want string // in the error; PATH is the file, DIR its directory
	}{
		{"a link", func(path string) error {
			return errors.Join(os.Rename(path, path+"2"), os.Symlink(path+"2", path))
		}, "cannot read PATH: it is a link; name the file itself"},
		{"a link to nothing", func(path string) error {
			return errors.Join(os.Remove(path), os.Symlink("nosuch", path))
		}, "cannot read PATH: it is a link; name the file itself"},
		{"a FIFO", func(path string) error {
			return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600))
		}, "cannot read PATH: it is not a regular file"},
		{"a directory", func(path string) error {
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
		}, "cannot read PATH: it is not a regular file"},
		{"no directory", func(path string) error {
			return os.RemoveAll(filepath.Dir(path))
		}, "cannot read PATH: no such file or directory"},
		{"a file that others can write to", func(path string) error {
			return os.Chmod(path, 0o620)
		}, "cannot read PATH: others can write to it; remove it"},
		{"a directory that others can write to", func(path string) error {
			return os.Chmod(filepath.Dir(path), 0o777)
		}, "cannot read PATH: others can write to DIR; take that from them (chmod go-w), or use another directory"},
		{"a sticky one", func(path string) error {
			return os.Chmod(filepath.Dir(path), 0o777|os.ModeSticky)
		}, "cannot read PATH: others can write to DIR; take that from them (chmod go-w), or use another directory"},
		{"a gigabyte", func(path string) error {
			return os.Truncate(path, 1<<30)
		}, "cannot read PATH: " + errNotState.Error()},
		{"an empty file", func(path string) error {
			return os.Truncate(path, 0)
		}, "cannot read PATH: " + errNotState.Error()},
		{"another file", func(path string) error {
			return os.WriteFile(path, []byte(`{"precious": true}`), 0o600)
		}, "cannot read PATH: " + errNotState.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := written(t)
			if err := tt.make(string(path)); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Lstat(string(path))
			growth, err := path.Record(t.Context(), at(time.Minute), map[Key]int64{aKey: 110})
			want := strings.NewReplacer("PATH", string(path), "DIR", filepath.Dir(string(path))).Replace(tt.want)
			if err == nil || err.Error() != want || len(growth) > 0 {
				t.Errorf("growth %v, error %v\nwant %s", growth, err, want)
			}
			if after, _ := os.Lstat(string(path)); before != nil && !os.SameFile(before, after) {
				t.Error("it has been replaced")
			}
		})
	}
}

// Growth is known although the reading cannot be remembered.
func TestFileThatCannotBeReplaced(t *testing.T) {
	lock := func(path string) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		t.Cleanup(func() { f.Close() })
		return unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	// As root nothing is forbidden by a mode.
	tests := []struct {
		name string
		make func(path string) error
		want string
		root bool
	}{
		{"locked", lock, "another check is writing to it", true},
		{"not writable", func(path string) error { return os.Chmod(path, 0o400) }, "permission denied", false},
		{"in a directory that is not", func(path string) error {
			return os.Chmod(filepath.Dir(path), 0o500)
		}, "permission denied", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if os.Geteuid() == 0 && !tt.root {
				t.Skip("root may")
			}
			path := written(t)
			if err := tt.make(string(path)); err != nil {
				t.Fatal(err)
			}
			growth, err := path.Record(t.Context(), at(time.Minute), map[Key]int64{aKey: 110})
			if err == nil || err.Error() != "cannot write "+string(path)+": "+tt.want || growth[aKey].PerHour != 600 {
				t.Errorf("growth %v, error %v", growth, err)
			}
			if err := os.Chmod(string(path), 0o600); err != nil {
				t.Fatal(err)
			}
			if d := content(t, path); len(d.Series[aKey]) != 1 {
				t.Errorf("%+v", d)
			}
		})
	}
}

// Root does not take what another user has made, or could.
func TestRootTrustsNobody(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	const nobody = 65534
	tests := []struct {
		name string
		make func(path string) error
		want string
	}{
		{"a file", func(path string) error { return os.Chown(path, nobody, 0) }, "PATH: it belongs to another user; "},
		{"a directory", func(path string) error {
			return os.Chown(filepath.Dir(path), nobody, 0)
		}, "DIR belongs to another user; "},
		{"a directory on the way", func(path string) error {
			return os.Chown(filepath.Dir(filepath.Dir(path)), nobody, 0)
		}, "UP belongs to another user; "},
		{"one on the way that others can write to", func(path string) error {
			return os.Chmod(filepath.Dir(filepath.Dir(path)), 0o770)
		}, "others can write to UP; "},
		{"a link on the way", func(path string) error {
			dir := filepath.Dir(path)
			return errors.Join(os.Rename(dir, dir+"2"), os.Symlink(dir+"2", dir), os.Lchown(dir, nobody, 0))
		}, "DIR belongs to another user; "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := filepath.Join(t.TempDir(), "up")
			path := File(filepath.Join(up, "dir", "state"))
			if err := os.MkdirAll(filepath.Dir(string(path)), 0o755); err != nil {
				t.Fatal(err)
			}
			if _, err := path.Record(t.Context(), at(0), map[Key]int64{aKey: 100}); err != nil {
				t.Fatal(err)
			}
			if err := tt.make(string(path)); err != nil {
				t.Fatal(err)
			}
			growth, err := path.Record(t.Context(), at(time.Minute), map[Key]int64{aKey: 110})
			want := strings.NewReplacer("PATH", string(path), "DIR", up+"/dir", "UP", up).Replace(tt.want)
			if err == nil || !strings.Contains(err.Error(), want) || len(growth) > 0 {
				t.Errorf("growth %v, error %v, want %s", growth, err, want)
			}
		})
	}
}

// Nothing is done for somebody who does not wait any more.
func TestRecordTooLate(t *testing.T) {
	path := written(t)
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if _, err := path.Record(late, at(time.Minute), map[Key]int64{aKey: 110}); err == nil ||
		err.Error() != "cannot write "+string(path)+" in time" {
		t.Errorf("error %v", err)
	}
	if d := content(t, path); len(d.Series[aKey]) != 1 {
		t.Errorf("%+v", d)
	}
}

// Of many at once, some write and some do not, and the file is whole at any moment.
func TestRecordAtOnce(t *testing.T) {
	path := somewhere(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			key := NewKey(queue.Instance{Name: string(rune('a' + i))}, "", queue.Filter{})
			for n := range 50 {
				now := at(time.Duration(n) * time.Minute)
				_, err := path.Record(t.Context(), now, map[Key]int64{key: int64(n)})
				if err != nil && !errors.Is(err, errLocked) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if d := content(t, path); len(d.Series) == 0 {
		t.Error("nobody has written")
	}
}

// The machine's own clocks go together.
func TestNow(t *testing.T) {
	first, err := Now()
	if err != nil {
		t.Fatal(err)
	}
	second, err := Now()
	if err != nil || first.BootID == "" || !first.sample(0).comparable(second.sample(0)) || first.BootID != second.BootID {
		t.Errorf("%+v, then %+v, %v", first, second, err)
	}
}
