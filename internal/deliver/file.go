package deliver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// File is the path of a file. Send replaces it as a whole: a reader finds the old document or the new one, at any
// moment and after a crash. Send refuses a link.
type File string

// Send writes the file, with mode 0644.
func (path File) Send(_ context.Context, document []byte) error {
	return path.write(document, 0o644)
}

// PrivateFile is a File with addresses in it, which others may not read.
type PrivateFile struct{ File }

// Send writes the file, with mode 0640.
func (f PrivateFile) Send(_ context.Context, document []byte) error {
	return f.write(document, 0o640)
}

func (path File) write(document []byte, mode os.FileMode) error {
	err := path.replace(document, mode)
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		err = failed.Err // without the name of the temporary file
	}
	if err != nil {
		err = fmt.Errorf("cannot write %s: %w", path, err)
	}
	return err
}

func (path File) replace(document []byte, mode os.FileMode) (err error) {
	// A device such as /dev/null must not become a file. Anybody who may write to the directory can lay a link to
	// a file that he may not write: it is not followed, and one that is laid later is itself replaced.
	switch info, err := os.Lstat(string(path)); {
	case err != nil: // no such file, or CreateTemp will report why
	case info.Mode()&os.ModeSymlink != 0:
		return errors.New("it is a link, and links are not followed; name the file itself; standard output is -")
	case !info.Mode().IsRegular():
		return errors.New("not a regular file; standard output is -")
	}
	// In the same directory, for the rename. The dot hides it from readers that take every file with a certain
	// ending.
	f, err := os.CreateTemp(filepath.Dir(string(path)), "."+filepath.Base(string(path))+".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(document); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), string(path))
}

func (path File) String() string { return string(path) }
