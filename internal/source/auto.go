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
// and those that this user may certainly not use. So many siblings are read at
// the same time.
func (p postfix) candidates(ctx context.Context, name string, siblings int) (sources []queue.Source, passedOver []queue.Attempt, err error) {
	postqueue := &Postqueue{postfix: p}
	if name == PostqueueName {
		return []queue.Source{postqueue}, nil, nil
	}
	dir, err := p.queueDir(ctx)
	if err != nil {
		if name == AutoName && ctx.Err() == nil {
			// postqueue fails for the same reason, and says it better.
			return []queue.Source{postqueue}, []queue.Attempt{{Source: SpoolName, Err: err}, {Source: ShowqName, Err: err}}, nil
		}
		return nil, nil, err
	}
	spool := &Spool{QueueDir: dir, MailVersion: func() string { return p.mailVersion(ctx) }, Siblings: siblings}
	showq := &Showq{QueueDir: dir, Instance: queue.Instance{ConfigDir: p.configDir}}
	switch name {
	case SpoolName:
		return []queue.Source{spool}, nil, nil
	case ShowqName:
		return []queue.Source{showq}, nil, nil
	}
	// It is found out by trying, but not by trying what cannot be.
	if maildrop := filepath.Join(dir, string(queue.Maildrop)); isDenied(maildrop, unix.R_OK|unix.X_OK) {
		passedOver = append(passedOver, queue.Attempt{Source: SpoolName, Err: &SpoolAccessError{maildrop}})
	} else {
		sources = append(sources, spool)
	}
	if public := filepath.Join(dir, "public"); isDenied(public, unix.X_OK) {
		passedOver = append(passedOver, queue.Attempt{Source: ShowqName, Err: &ShowqAccessError{filepath.Join(public, "showq")}})
	} else {
		sources = append(sources, showq)
	}
	return append(sources, postqueue), passedOver, nil
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
	return err == nil || ctx.Err() != nil || down || blind || errors.Is(err, queue.ErrTimeless)
}
