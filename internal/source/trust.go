package source

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// trustConfig returns an error if somebody other than root and the owner, who is root except in tests, may change the
// configuration of this instance: main.cf names the programs that Postfix's own start, and they would run as root.
// It judges main.cf, its directory, and everything on the way to them, also behind links.
func (p postfix) trustConfig(owner uint32) error {
	dir := cmp.Or(p.configDir, filepath.Dir(p.mainCFPath()))
	// Not a cleaned path: the kernel takes .. for the directory above the target of a link.
	_, suspectFile := trustPath(dir+"/main.cf", owner)
	last, suspectDir := trustPath(dir, owner)
	var writable error
	// On the way a directory to which everybody may add is good enough, but not the one that Postfix reads.
	if info, err := os.Lstat(last); err == nil && info.IsDir() && info.Mode().Perm()&othersMayWrite != 0 {
		writable = othersMayChange(last)
	}
	return cmp.Or(writable, suspectFile, suspectDir)
}

// maxLinks is the kernel's limit of links in a path.
const maxLinks = 40

// trustPath looks at each part of a path as the kernel follows it, and returns where it leads. The error is about the
// last part that others may change: it is what an administrator thinks of first. A path that does not exist is for
// Postfix to complain about.
func trustPath(path string, owner uint32) (at string, suspect error) {
	at = "/"
	rest, links := strings.Split(path, "/"), 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		info, err := os.Lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return next, suspect
		case err != nil:
			return next, fmt.Errorf("cannot find out who may change %s: %w; run this as an ordinary user", next, err)
		}
		suspect = cmp.Or(trustFile(next, info, owner), suspect)
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		target, err := os.Readlink(next)
		if links++; err != nil || links > maxLinks {
			return next, fmt.Errorf("cannot follow the link %s; name the directory itself", next)
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, suspect
}

const (
	othersMayWrite = 0o022
	rootUser       = 0 // may change everything anyway
)

// trustFile judges one part of a path. From a sticky directory nobody can take away what is root's.
func trustFile(path string, info fs.FileInfo, owner uint32) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Uid != owner && stat.Uid != rootUser {
		return fmt.Errorf("%s belongs to another user, %s; %s", path, asRoot, unless("chown -h root", path))
	}
	switch mode := info.Mode(); {
	case mode.Perm()&othersMayWrite == 0, mode&fs.ModeSymlink != 0, mode.IsDir() && mode&fs.ModeSticky != 0:
		return nil
	}
	return othersMayChange(path)
}

const asRoot = "and Postfix runs, as root, the programs that main.cf names"

func othersMayChange(path string) error {
	return fmt.Errorf("users other than root may write to %s, %s; %s", path, asRoot, unless("chmod go-w", path))
}

// unless says what to do about a configuration that root does not follow unless the command has been given.
func unless(command, path string) string {
	return "run this as an ordinary user, or, if the configuration can be trusted, " +
		commandFor(command, path, "let only root change it")
}
