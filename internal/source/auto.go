package source

import (
	"context"
	"errors"
	"sync"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/spool"
)

// The names of sources, as --source takes them.
const (
	AutoName      = "auto" // the cheapest that works
	PostqueueName = "postqueue"
	ShowqName     = "showq"
	SpoolName     = queue.SpoolName
)

// Names returns the names that --source takes.
func Names() []string { return []string{AutoName, PostqueueName, ShowqName, SpoolName} }

// candidates returns the sources to try for the instance, the cheapest first, and those that this user certainly
// cannot use.
func (p postfix) candidates(ctx context.Context, name string, maxOpenFiles int) (
	sources []queue.Source, passedOver []queue.Attempt, err error,
) {
	dir, err := p.queueDir(ctx)
	watched := func(src queue.Source) queue.Source { return &live{Source: src, postfix: &p, dir: dir} }
	postqueue := watched(&Postqueue{p})
	switch {
	case name == PostqueueName:
		return []queue.Source{postqueue}, nil, nil
	case err != nil:
		if name == AutoName && ctx.Err() == nil {
			// postqueue fails for the same reason, and says it better.
			return []queue.Source{postqueue}, []queue.Attempt{{Source: SpoolName, Err: err}, {Source: ShowqName, Err: err}}, nil
		}
		return nil, nil, err
	}
	system := p.mailSystem(ctx, dir)
	files := &liveSpool{spool.Spool{
		Dir: dir, MaxOpenFiles: maxOpenFiles,
		MailVersion: func() string { return p.mailVersion(ctx) },
		UTF8:        sync.OnceValue(func() bool { return p.showsUTF8(ctx) }),
		Lifetimes:   sync.OnceValues(func() (spool.Lifetimes, error) { return p.lifetimes(ctx) }),
	}, system, false}
	showq := &Showq{system, queue.Instance{ConfigDir: p.configDir}}
	switch name {
	case SpoolName:
		return []queue.Source{watched(files)}, nil, nil
	case ShowqName:
		return []queue.Source{watched(showq)}, nil, nil
	}
	// Only a try shows what works, but a try that must fail costs time.
	for _, candidate := range []interface {
		queue.Source
		CheckAccess() error
	}{files, showq} {
		if err := candidate.CheckAccess(); err != nil {
			passedOver = append(passedOver, queue.Attempt{Source: candidate.Name(), Err: err})
		} else {
			sources = append(sources, watched(candidate))
		}
	}
	return append(sources, postqueue), passedOver, nil
}

// isFinal reports whether no other source is worth trying: this one worked, time is up, or every other one would fail for
// the same reason.
func isFinal(ctx context.Context, err error) bool {
	_, down := errors.AsType[*queue.DownError](err)
	_, indistinct := errors.AsType[*queue.IndistinctError](err)
	return err == nil || ctx.Err() != nil || down || indistinct || errors.Is(err, queue.ErrNoArrivalTimes) ||
		errors.Is(err, queue.ErrNoClients)
}
