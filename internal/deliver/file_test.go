package deliver

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestSendToFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "queue.prom")
	for _, document := range []string{"first\n", "second\n"} {
		if err := File(path).Send(t.Context(), []byte(document)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != document {
			t.Errorf("%q, %v", got, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// Others may not read a file with addresses in it, even if they could read the one
// before.
func TestSendToPrivateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.json")
	if err := os.WriteFile(path, []byte("old\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	target := PrivateFile{File(path)}
	if err := target.Send(t.Context(), []byte("new\n")); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if info, statErr := os.Stat(path); err != nil || statErr != nil || string(content) != "new\n" || info.Mode() != 0o640 {
		t.Errorf("%q, %v, %v, %v", content, info, err, statErr)
	}
	if target.String() != path {
		t.Errorf("it is called %s", target)
	}
}

func TestSendToFileFailsWhole(t *testing.T) {
	dir := t.TempDir()
	if err := File(filepath.Join(dir, "nosuch", "x")).Send(t.Context(), []byte("x")); err == nil {
		t.Error("no error without a directory")
	}
	// A FIFO stands in for a device such as /dev/null, which root could replace if this failed.
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	err := File(fifo).Send(t.Context(), []byte("x"))
	if err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("error %v", err)
	}
	if info, err := os.Lstat(fifo); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("the FIFO is replaced: %v, %v", info.Mode(), err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "x", "y"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := File(filepath.Join(dir, "x")).Send(t.Context(), []byte("x")); err == nil ||
		!strings.HasPrefix(err.Error(), "cannot write "+dir) {
		t.Errorf("error %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// A disk that is full leaves the old document, and nothing else behind.
func TestSendToFullDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "queue.prom")
	if err := File(path).Send(t.Context(), []byte("old\n")); err != nil {
		t.Fatal(err)
	}
	// A file that would become larger than this stands in for the full disk.
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = 4096
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	err := File(path).Send(t.Context(), make([]byte, 5000))
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	// Nobody knows the name of the temporary file.
	if !errors.Is(err, syscall.EFBIG) || strings.Contains(err.Error(), ".new-") {
		t.Errorf("error %v, want %v", err, syscall.EFBIG)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old\n" {
		t.Errorf("%q, %v", got, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// A link would let anybody who can write to the directory have another user's file
// replaced.
func TestSendToLink(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, leadsTo := range map[string]string{
		"file":      precious,
		"neighbour": "precious",
		"nothing":   "nosuch",
		"directory": dir,
		"device":    "/dev/null",
	} {
		t.Run(name, func(t *testing.T) {
			link := filepath.Join(dir, name)
			if err := os.Symlink(leadsTo, link); err != nil {
				t.Fatal(err)
			}
			err := File(link).Send(t.Context(), []byte("x"))
			if err == nil || !strings.HasPrefix(err.Error(), "cannot write "+link+": it is a link, ") ||
				!strings.HasSuffix(err.Error(), "; name the file itself; standard output is -") {
				t.Errorf("error %v", err)
			}
			if got, err := os.Readlink(link); err != nil || got != leadsTo {
				t.Errorf("the link leads to %q, %v", got, err)
			}
		})
	}
	content, err := os.ReadFile(precious)
	if info, statErr := os.Stat(precious); err != nil || statErr != nil || string(content) != "precious" ||
		info.Mode() != 0o600 {
		t.Errorf("%q, %v, %v", content, err, statErr)
	}
}

// The old document stays, and nothing is left behind.
func TestSendToFileIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "queue.prom")
	if err := File(path).Send(t.Context(), []byte("old\n")); err != nil {
		t.Fatal(err)
	}
	late, cancelLate := context.WithTimeout(t.Context(), 0)
	defer cancelLate()
	interrupted, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupted by a test"))
	for _, tt := range []struct {
		name string
		ctx  context.Context
		want string
	}{
		{"late", late, "cannot write PATH in time; the disk may hang: look into the kernel log"},
		{"interrupted", interrupted, "cannot write PATH: interrupted by a test"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := File(path).Send(tt.ctx, []byte("new\n"))
			if err == nil || strings.ReplaceAll(err.Error(), path, "PATH") != tt.want {
				t.Errorf("error %v, want %s", err, tt.want)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != "old\n" {
				t.Errorf("%q, %v", got, err)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 1 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
}
