package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// unsafeInCommand are characters that a shell, a main.cf or a monitoring system would not leave alone.
const unsafeInCommand = "$|&;<>()'\"`\\*?!#{}[]~%"

// maxListInCommand is how long a list may be, in bytes, for the command to be shown whole: half a
// command would remove the rest of the list.
const maxListInCommand = 200

// addToList returns the command that adds an item to a list in main.cf. Setting a list replaces it,
// so the command contains the present value. If that is unknown (nil), too long, excludes somebody,
// or cannot be shown in safe characters, the file must be edited.
func addToList(configDir, parameter string, present *string, item string) string {
	if present == nil || len(*present) > maxListInCommand || strings.ContainsAny(*present+item+configDir, unsafeInCommand) {
		return fmt.Sprintf("add %s to %s in main.cf", item, parameter)
	}
	items := strings.FieldsFunc(*present, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	command := "postconf "
	if configDir != "" {
		command += "-c " + configDir + " "
	}
	return command + "-e " + parameter + "=" + strings.Join(append(items, item), ",")
}

// Why a file cannot be opened, in the words of postqueue.
const (
	notFound         = "No such file or directory"
	notADirectory    = "Not a directory"
	permissionDenied = "Permission denied"
)

// noConfig says why there is no main.cf to read, and what mends it.
func noConfig(path, reason string) error {
	remedy := "restore the file, or name the right directory with --config-dir"
	if reason == permissionDenied {
		remedy = commandFor("chmod 644", path, "let this user read it")
		if dir := closedDir(path); dir != "" {
			remedy = commandFor("chmod a+x", dir, "let this user into its directory")
		}
	}
	return fmt.Errorf("postqueue cannot open %s: %s; %s", path, reason, remedy)
}

// closedDir returns the directory on the way to a file that this user may not enter, empty if there is none.
func closedDir(path string) string {
	for {
		dir := filepath.Dir(path)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrPermission) || dir == path {
			return ""
		}
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
		path = dir
	}
}

// commandFor returns what root is to run for a file, or words if a shell would not take the path as it is.
func commandFor(command, path, words string) string {
	if strings.ContainsAny(path, unsafeInCommand+" \t\n") {
		return words
	}
	return "as root: " + command + " " + path
}

// setgidLost says why postqueue runs without the rights of its group, and what mends it.
func setgidLost(path string) error {
	const happened = "postqueue may not connect to the showq service: "
	if info, err := os.Stat(path); err == nil && info.Mode()&fs.ModeSetgid == 0 {
		return fmt.Errorf("%s%s has lost its setgid bit; as root: chgrp postdrop %s; chmod g+s %s", happened, path, path, path)
	}
	if on, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil && on == 1 {
		return errors.New(happened + "this process may not gain privileges (NoNewPrivileges); " +
			"set NoNewPrivileges=no and remove DynamicUser= in the systemd unit that runs this check")
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err == nil && stat.Flags&unix.ST_NOSUID != 0 {
		return fmt.Errorf("%sthe file system of %s is mounted nosuid; mount it with suid, or judge a listing with --input", happened, path)
	}
	return fmt.Errorf("%s%s does not gain the rights of its group; as root: chgrp postdrop %s; chmod g+s %s; "+
		"in a container, allow setgid programs", happened, path, path, path)
}
