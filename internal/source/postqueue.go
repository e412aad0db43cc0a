package source

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
)

// Postqueue reads the queue with postqueue(1): as JSON, or as text where
// Postfix is older than 3.1. It needs no privileges: postqueue has them.
type Postqueue struct{ postfix }

// Name returns "postqueue".
func (*Postqueue) Name() string { return "postqueue" }

// Read runs postqueue.
func (p *Postqueue) Read(ctx context.Context, _ queue.Depth, visit func(*queue.Message)) (queue.Facts, error) {
	facts, err := p.list(ctx, "-j", visit)
	if errors.Is(err, errNoJSON) {
		facts, err = p.list(ctx, "-p", visit)
	}
	return facts, err
}

// errNoJSON says that this postqueue does not know -j.
var errNoJSON = errors.New("postqueue does not know -j")

func (p *Postqueue) list(ctx context.Context, format string, visit func(*queue.Message)) (facts queue.Facts, err error) {
	c, err := p.command(ctx, "postqueue", format)
	if err != nil {
		return queue.Facts{}, err
	}
	facts.Detail = c.String()
	var listingErr error
	stderr, err := c.run(ctx, func(r io.Reader) error {
		if format == "-j" {
			facts.Unreadable, listingErr = parseJSON(r, visit)
		} else {
			facts.Blind, facts.Timeless = textBlind(), true
			listingErr = parseText(r, visit)
		}
		// What is wrong with a listing that could be read to its end is known
		// best to postqueue.
		if errors.Is(listingErr, os.ErrDeadlineExceeded) || errors.As(listingErr, new(*fs.PathError)) {
			return listingErr
		}
		return nil
	})
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err != nil:
		err = p.explain(ctx, c, stderr, err)
	default:
		err = listingErr
	}
	if down, ok := errors.AsType[*DownError](err); ok {
		facts.Down = orUnknown(down.Reason)
	} else if reason, ok := cutDiagnostic(stderr, "warning: Mail system is down -- accessing queue directly"); ok {
		// Root gets a listing and exit status 0 all the same.
		facts.Down = orUnknown(reason)
	}
	return facts, err
}

func orUnknown(reason string) string {
	if reason == "" {
		return "reason unknown"
	}
	return reason
}

// explain finds out what a failure of postqueue means. Whatever it is, the
// exit status is 69: only the text tells (postqueue.c, showq_compat.c,
// mail_conf.c, mail_queue.c of Postfix).
func (p *Postqueue) explain(ctx context.Context, c command, stderr string, err error) error {
	fatal := func(text string) (rest string, found bool) { return cutDiagnostic(stderr, "fatal: "+text) }

	if reason, ok := fatal("Queue report unavailable - mail system is down"); ok {
		return &DownError{reason, queue.Instance{ConfigDir: p.configDir}}
	}
	deniedUser := regexp.MustCompile(`(?m)^postqueue: fatal: User (\S+)\((\d+)\) is not allowed to view the mail queue`)
	if m := deniedUser.FindStringSubmatch(stderr); m != nil {
		denied := &AccessError{User: m[1], Authorized: p.presentValue(ctx, "authorized_mailq_users"), ConfigDir: p.configDir}
		if m[1] == "unknown" {
			denied.User, denied.Nameless = m[2], true
		}
		return denied
	}
	if reason, ok := fatal("Connect to the Postfix showq service: "); ok && strings.Contains(reason, "Permission denied") {
		return &SetgidError{Path: c.path, Cause: setgidCause(c.path)}
	}
	if dir, ok := cutDiagnostic(stderr, "error: unauthorized configuration directory name: "); ok {
		return &ConfigDirError{Dir: dir, Listed: postfix{dirs: p.dirs}.presentValue(ctx, "alternate_config_directories")}
	}
	if detail, ok := fatal("open "); ok {
		if path, reason, ok := strings.Cut(detail, "/main.cf: "); ok {
			return &NoConfigError{path + "/main.cf", reason}
		}
	}
	if strings.Contains(stderr, "invalid option -- 'j'") || strings.Contains(stderr, "illegal option -- j") {
		return errNoJSON
	}
	if detail, ok := fatal("malformed showq server response"); ok {
		return &BrokenStreamError{"malformed showq server response" + detail}
	}
	var start *exec.Error
	if errors.As(err, &start) || errors.As(err, new(*fs.PathError)) {
		return &CommandError{Command: c.String(), Result: err.Error()}
	}
	return c.failure(stderr, err)
}

// cutDiagnostic returns what follows text in the line of postqueue's
// diagnostics that begins with it.
func cutDiagnostic(stderr, text string) (rest string, found bool) {
	for line := range strings.Lines(stderr) {
		if rest, ok := strings.CutPrefix(line, "postqueue: "+text); ok {
			rest = strings.TrimSpace(rest)
			return strings.TrimSuffix(strings.TrimPrefix(rest, "("), ")"), true
		}
	}
	return "", false
}

// setgidCause finds out why the setgid bit of a program has no effect.
func setgidCause(path string) SetgidCause {
	if info, err := os.Stat(path); err == nil && info.Mode()&fs.ModeSetgid == 0 {
		return SetgidBitLost
	}
	if on, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil && on == 1 {
		return SetgidNoNewPrivs
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err == nil && stat.Flags&unix.ST_NOSUID != 0 {
		return SetgidNosuid
	}
	return SetgidUnknown
}
