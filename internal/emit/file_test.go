package emit

import (
	"os"
	"path/filepath"
	"strings"
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
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 3 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestSendToFileFailsWhole(t *testing.T) {
	dir := t.TempDir()
	if err := File(filepath.Join(dir, "nosuch", "x")).Send(t.Context(), []byte("x")); err == nil {
		t.Error("no error without a directory")
	}
	// A link stays, and what is no file is left alone.
	if err := os.Symlink("target", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "target"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := File(filepath.Join(dir, "link")).Send(t.Context(), []byte("x")); err != nil {
		t.Error(err)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "target")); err != nil || string(content) != "x" {
		t.Errorf("%q, %v", content, err)
	}
	if err := File("/dev/null").Send(t.Context(), []byte("x")); err == nil {
		t.Error("a device is replaced")
	}
	if err := os.MkdirAll(filepath.Join(dir, "x", "y"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := File(filepath.Join(dir, "x")).Send(t.Context(), []byte("x")); err == nil || !strings.HasPrefix(err.Error(), "cannot write "+dir) {
		t.Errorf("error %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 3 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
