package source

import (
	"context"
	"errors"
	"path/filepath"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
)

// The names of sources, as --source takes them.
const (
	AutoName      = "auto"
	PostqueueName = "postqueue"
	ShowqName     = "showq"
	SpoolName     = "spool"
)

// candidates returns the sources to try for the instance, the cheapest first,
// and those that this user may certainly not use.
func (p postfix) candidates(ctx context.Context, name string) (sources []queue.Source, passedOver []queue.Attempt, err error) {
	postqueue := &Postqueue{postfix: p}
	switch name {
	case PostqueueName:
		return []queue.Source{postqueue}, nil, nil
	case AutoName:
		guess := p.queueDirGuess()
		spool, public := filepath.Join(guess, string(queue.Active)), filepath.Join(guess, "public")
		if isDenied(spool, unix.R_OK|unix.X_OK) && isDenied(public, unix.X_OK) {
			return []queue.Source{postqueue}, []queue.Attempt{
				{Source: SpoolName, Err: &SpoolAccessError{spool}},
				{Source: ShowqName, Err: &ShowqAccessError{filepath.Join(public, "showq")}},
			}, nil
		}
	}
	values, err := p.settings(ctx, "queue_directory", "mail_version")
	if err != nil {
		if name == AutoName && ctx.Err() == nil {
			// postqueue fails for the same reason, and says it better.
			return []queue.Source{postqueue}, []queue.Attempt{{Source: SpoolName, Err: err}, {Source: ShowqName, Err: err}}, nil
		}
		return nil, nil, err
	}
	spool, showq := &Spool{QueueDir: values[0], MailVersion: values[1]}, &Showq{QueueDir: values[0]}
	switch name {
	case SpoolName:
		return []queue.Source{spool}, nil, nil
	case ShowqName:
		return []queue.Source{showq}, nil, nil
	default:
		return []queue.Source{spool, showq, postqueue}, nil, nil
	}
}

// isDenied reports whether this user, with the rights that the process has
// now, is refused access to a path that exists.
func isDenied(path string, mode uint32) bool {
	return errors.Is(unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS), unix.EACCES)
}

// isFinal reports whether another source would fail for the same reason.
func isFinal(ctx context.Context, err error) bool {
	_, down := errors.AsType[*DownError](err)
	_, blind := errors.AsType[*queue.BlindError](err)
	return err == nil || ctx.Err() != nil || down || blind
}
