package source

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
)

// What can be wrong with a listing, wherever it comes from.
var (
	// ErrCutOff is a listing that ends inside a line, or a text listing that
	// ends before its summary.
	ErrCutOff = errors.New("the listing is cut off before its end; make it again, and see that the command that makes it succeeds")
	// ErrNoListing is a listing none of whose lines can be understood.
	ErrNoListing = errors.New("no line of the listing can be understood; it must be what postqueue -j or postqueue -p prints")
	// ErrEmptyInput is input without a single byte.
	ErrEmptyInput = errors.New("the input is empty, as it is when the command that makes it failed; " +
		"if it is the output of postqueue -j for an empty queue, say --allow-empty")
)

// SumError is a text listing whose messages do not add up to its summary:
// lines are missing, or could not be understood.
type SumError struct {
	Messages, KiB               int64 // what the listing's messages add up to
	SummaryMessages, SummaryKiB int64 // what its last line says
}

func (e *SumError) Error() string {
	return fmt.Sprintf("the listing has %d messages of %d KiB where its summary says %d of %d KiB: lines are missing; make it again",
		e.Messages, e.KiB, e.SummaryMessages, e.SummaryKiB)
}

// UnknownFormatError is input that is no listing.
type UnknownFormatError struct {
	Start string // how the input begins
}

func (e *UnknownFormatError) Error() string {
	return fmt.Sprintf("the input is not what postqueue -j or postqueue -p prints: it begins with %s", e.Start)
}

// StaleError is a listing file that is too old, or from the future.
type StaleError struct {
	Path   string
	Age    time.Duration // negative: from the future
	MaxAge time.Duration
}

func (e *StaleError) Error() string {
	if e.Age < 0 {
		return fmt.Sprintf("%s was written %s in the future; set the clock right, or judge it with --max-age 0",
			e.Path, -e.Age.Round(time.Second))
	}
	return fmt.Sprintf("%s was written %s ago, longer than %s; see why it is no longer made, or raise --max-age",
		e.Path, e.Age.Round(time.Second), e.MaxAge)
}

// NotFoundError says that a program of Postfix is not there.
type NotFoundError struct {
	Program string
	Dirs    []string
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("%s not found in %s; install Postfix, or judge a listing of another host with --input",
		e.Program, strings.Join(e.Dirs, ", "))
}

// DownError says that the mail system is down.
type DownError struct {
	Reason   string
	Instance queue.Instance
}

func (e *DownError) Error() string {
	text := "mail system is down"
	if e.Reason != "" {
		text += " (" + e.Reason + ")"
	}
	return text + "; start it: " + e.Instance.StartCommand()
}

// AccessError says that this user is not in authorized_mailq_users.
type AccessError struct {
	User       string  // or the number of one that has no name
	Nameless   bool    // Postfix then calls it, and all like it, unknown
	Authorized *string // present value; nil where it is not known
	ConfigDir  string  // of the instance; empty: the default one
}

func (e *AccessError) Error() string {
	item, who := e.User, "user "+e.User
	if e.Nameless {
		item, who = "unknown", who+", which has no name,"
	}
	return fmt.Sprintf("%s is not allowed to view the mail queue; as root: %s",
		who, addToList(e.ConfigDir, "authorized_mailq_users", e.Authorized, item))
}

// ConfigDirError says that an ordinary user asked for an instance that main.cf
// of the default one does not list.
type ConfigDirError struct {
	Dir    string
	Listed *string // present value of alternate_config_directories; nil where it is not known
}

func (e *ConfigDirError) Error() string {
	return fmt.Sprintf("the default instance does not list configuration directory %s; as root: %s",
		e.Dir, addToList("", "alternate_config_directories", e.Listed, e.Dir))
}

// unsafeInCommand are characters that a shell, a main.cf or a monitoring
// system would not leave as they are.
const unsafeInCommand = "$|&;<>()'\"`\\*?!#{}[]~%"

// maxListInCommand is how long a list may be so that the command is sure to be
// shown whole: half a command would take away the rest of the list.
const maxListInCommand = 200

// addToList returns the command that adds an item to a list in main.cf.
// Setting a list replaces it, so the present value is part of the command.
// Where that is not known, is too long, excludes somebody, or cannot be shown
// in safe characters, the file is to be edited.
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

// SpoolAccessError says that this user may not read the queue directories.
type SpoolAccessError struct{ Path string }

func (e *SpoolAccessError) Error() string {
	return fmt.Sprintf("this user may not read %s: only root and the mail owner may; use --source postqueue", e.Path)
}

// ShowqAccessError says that this user may not connect to the showq socket.
type ShowqAccessError struct{ Path string }

func (e *ShowqAccessError) Error() string {
	return fmt.Sprintf("this user may not connect to %s: only root, the mail owner and its group may; use --source postqueue", e.Path)
}

// NoQueueDirError says that a directory is no queue directory of Postfix.
type NoQueueDirError struct{ Path string }

func (e *NoQueueDirError) Error() string {
	return fmt.Sprintf("%s is no queue directory of Postfix; name the right one, or let postfix check make what is missing", e.Path)
}

// OldShowqError says that the showq service speaks the protocol of Postfix 3.0
// and before: text for people.
type OldShowqError struct{ Path string }

func (e *OldShowqError) Error() string {
	return fmt.Sprintf("%s answers with text, as Postfix 3.0 and before does; use --source postqueue", e.Path)
}

// ShowqProtocolError says that the showq service sent what its protocol does
// not have.
type ShowqProtocolError struct{ Path, Problem string }

func (e *ShowqProtocolError) Error() string {
	return fmt.Sprintf("%s does not speak the protocol of showq: %s; look for showq in the mail log", e.Path, e.Problem)
}

// SetgidError says that postqueue could not use its setgid bit.
type SetgidError struct {
	Path  string
	Cause SetgidCause
}

// SetgidCause is why postqueue runs without the privileges of its group.
type SetgidCause int

// The causes that can be told apart.
const (
	SetgidUnknown    SetgidCause = iota
	SetgidBitLost                // the file has no setgid bit
	SetgidNoNewPrivs             // the process may not gain privileges
	SetgidNosuid                 // the file system is mounted nosuid
)

func (e *SetgidError) Error() string {
	const happened = "postqueue may not connect to the showq service: "
	switch e.Cause {
	case SetgidBitLost:
		return fmt.Sprintf("%s%s has lost its setgid bit; as root: chgrp postdrop %s; chmod g+s %s", happened, e.Path, e.Path, e.Path)
	case SetgidNoNewPrivs:
		return happened + "this process may not gain privileges (NoNewPrivileges); " +
			"set NoNewPrivileges=no and remove DynamicUser= in the systemd unit that runs this check"
	case SetgidNosuid:
		return fmt.Sprintf("%sthe file system of %s is mounted nosuid; mount it with suid, or judge a listing with --input", happened, e.Path)
	default:
		return fmt.Sprintf("%s%s does not gain the rights of its group; as root: chgrp postdrop %s; chmod g+s %s; "+
			"in a container, allow setgid programs", happened, e.Path, e.Path, e.Path)
	}
}

// NoConfigError says that main.cf cannot be read.
type NoConfigError struct{ Path, Reason string }

func (e *NoConfigError) Error() string {
	return fmt.Sprintf("postqueue cannot open %s: %s; restore the file, or name the right directory with --config-dir", e.Path, e.Reason)
}

// BrokenStreamError says that the showq service died in mid-listing.
type BrokenStreamError struct{ Stderr string }

func (e *BrokenStreamError) Error() string {
	return "the showq service broke off the listing (" + e.Stderr + "); look for showq in the mail log"
}

// CommandError is any other failure of a command.
type CommandError struct {
	Command string
	Result  string // exit status or signal
	Stderr  string
}

func (e *CommandError) Error() string {
	text := e.Command + ": " + e.Result
	if e.Stderr != "" {
		text += ": " + e.Stderr
	}
	return text + "; run it by hand as this user"
}
