package disk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The file system of a test has unnamed files or not: both ways must do.
func TestDraft(t *testing.T) {
	drafts := map[string]func(name string, document []byte) error{
		"unnamed": func(name string, document []byte) error {
			done, err := draftUnnamed(t.Context(), unix.AT_FDCWD, name, document, 0o640)
			if err == nil && !done {
				t.Skip("this file system has no unnamed files")
			}
			return err
		},
		"named": func(name string, document []byte) error { return draftNamed(unix.AT_FDCWD, name, document, 0o640) },
	}
	for name, draft := range drafts {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "new")
			t.Chdir(filepath.Dir(path)) // where an unnamed file comes from
			if err := draft(path, []byte("x\n")); err != nil {
				t.Fatal(err)
			}
			content, err := os.ReadFile(path)
			if info, statErr := os.Stat(path); err != nil || statErr != nil || string(content) != "x\n" ||
				info.Mode() != 0o640 {
				t.Errorf("%q, %v, %v, %v", content, info, err, statErr)
			}
		})
	}
}

// What somebody else has laid there is not written to.
func TestDraftTakesNoOtherFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new")
	if err := os.WriteFile(name, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := draft(t.Context(), unix.AT_FDCWD, name, []byte("x\n"), 0o644); !errors.Is(err, os.ErrExist) {
		t.Errorf("error %v", err)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != "precious" {
		t.Errorf("%q, %v", got, err)
	}
}
