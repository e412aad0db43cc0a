package emit

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// File is the path of a file. It is replaced as a whole: whoever reads it
// finds the old document or the new one, at any moment and after a crash. A
// link is refused.
type File string

// Send writes the file, with mode 0644.
func (path File) Send(_ context.Context, document []byte) error {
	return path.write(document, 0o644)
}

// PrivateFile is a File that not everybody may read: it has addresses in it.
type PrivateFile struct{ File }

// Send writes the file, with mode 0640.
func (f PrivateFile) Send(_ context.Context, document []byte) error {
	return f.write(document, 0o640)
}

func (path File) write(document []byte, mode os.FileMode) (err error) {
	// A device, such as /dev/null, is not to become a file. A link may have been
	// laid by whoever may write into the directory, and lead to a file that he
	// may not: it is not followed, and should it come now, it is what is replaced.
	switch info, err := os.Lstat(string(path)); {
	case err != nil: // not there, or what hinders is met again
	case info.Mode()&os.ModeSymlink != 0:
		return fmt.Errorf("cannot write %s: it is a link, which is not followed; name the file itself; standard output is -", path)
	case !info.Mode().IsRegular():
		return fmt.Errorf("cannot write %s: it is no regular file; standard output is -", path)
	}
	// In the same directory, for the rename; hidden from those who take every
	// file of a certain ending.
	f, err := os.CreateTemp(filepath.Dir(string(path)), "."+filepath.Base(string(path))+".new-*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("cannot write %s: %w", path, err)
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
