package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
)

// Postqueue reads the queue with postqueue(1): as JSON, or as text if Postfix is older than 3.1. It needs no
// privileges: postqueue has them.
type Postqueue struct{ postfix }

// Name returns "postqueue".
func (*Postqueue) Name() string { return PostqueueName }

// Read runs postqueue.
func (p *Postqueue) Read(ctx context.Context, _ queue.Depth, visit func(*queue.Message)) (queue.Facts, error) {
	facts, err := p.list(ctx, "-j", visit)
	if errors.Is(err, errNoJSON) {
		facts, err = p.list(ctx, "-p", visit)
	}
	return facts, err
}

var errNoJSON = errors.New("postqueue does not know -j")

func (p *Postqueue) list(ctx context.Context, format string, visit func(*queue.Message)) (facts queue.Facts, err error) {
	c, err := p.command(ctx, "postqueue", format)
	if err != nil {
		return queue.Facts{}, err
	}
	facts.Detail = c.String()
	parser := listingParser{visit: visit}
	if format == "-p" {
		parser.text = &textParser{visit: visit}
	}
	var listingErr error
	stderr, err := c.run(ctx, func(r io.Reader) error {
		listingErr = parser.parse(r)
		// If the listing could be read to its end, postqueue knows best what is wrong with it. If not, it must not
		// wait for somebody who reads the rest.
		if parser.isHopeless() || errors.Is(listingErr, os.ErrDeadlineExceeded) || errors.As(listingErr, new(*fs.PathError)) {
			return listingErr
		}
		return nil
	})
	parser.diagnostics = stderr
	facts = parser.facts(facts)
	if facts.Down != "" && p.system(ctx).runs(ctx) {
		facts.Down = "" // as root, postqueue then lists the queue by itself
	}
	switch {
	case ctx.Err() != nil:
		return facts, context.Cause(ctx)
	case err != nil && !parser.isHopeless():
		return facts, p.explain(ctx, c, stderr, err)
	case listingErr == nil && stderr != "" && failureLine().MatchString(stderr):
		return facts, fmt.Errorf("the listing is not whole, Postfix says: %s", failureLine().FindString(stderr))
	case errors.Is(listingErr, errNotAListing):
		return facts, fmt.Errorf("what %s prints is not a listing of the queue; run it by hand as this user", c)
	default:
		return facts, listingErr
	}
}

// deniedUser is what postqueue says to a user who may not list the queue.
var deniedUser = whenUsed(`(?m)^postqueue: fatal: User (\S+)\((\d+)\) is not allowed to view the mail queue`)

// explain says what a failure of postqueue means. The exit status is always 69: only the text tells failures
// apart (postqueue.c, showq_compat.c, mail_conf.c, mail_queue.c of Postfix).
func (p *Postqueue) explain(ctx context.Context, c command, stderr string, err error) error {
	fatal := func(text string) (rest string, found bool) { return cutDiagnostic(stderr, "fatal: "+text) }

	if reason, ok := fatal("Queue report unavailable - mail system is down"); ok {
		return p.system(ctx).unreachable(ctx, reason, queue.Instance{ConfigDir: p.configDir})
	}
	if m := deniedUser().FindStringSubmatch(stderr); m != nil {
		return p.denied(ctx, m[1], m[2])
	}
	if reason, ok := fatal("Connect to the Postfix "); ok && strings.Contains(reason, "Permission denied") {
		return setgidLost(c.path)
	}
	if dir, ok := refusedDir(stderr); ok {
		// It is refused before it is looked for.
		switch _, err := os.Stat(p.mainCFPath()); {
		case errors.Is(err, fs.ErrNotExist):
			return noConfig(p.mainCFPath(), notFound)
		case errors.Is(err, unix.ENOTDIR):
			return noConfig(p.mainCFPath(), notADirectory)
		}
		listed := postfix{dirs: p.dirs, root: p.root}.presentValue(ctx, "alternate_config_directories")
		return fmt.Errorf("the default instance does not list configuration directory %s; as root: %s",
			dir, addToList("", "alternate_config_directories", listed, dir))
	}
	if detail, ok := fatal("open "); ok {
		if path, reason, ok := strings.Cut(detail, "/main.cf: "); ok {
			return noConfig(path+"/main.cf", reason)
		}
	}
	if strings.Contains(stderr, "invalid option -- 'j'") || strings.Contains(stderr, "illegal option -- j") {
		return errNoJSON
	}
	if detail, ok := fatal("malformed showq server response"); ok {
		return fmt.Errorf("the showq service broke off the listing (malformed showq server response%s); look for showq in the mail log", detail)
	}
	if errors.As(err, new(*exec.Error)) || errors.As(err, new(*fs.PathError)) {
		return commandFailed(c, err.Error(), "")
	}
	return c.failure(stderr, err)
}

// system returns where the services of the instance listen, for when postqueue says that the mail system is down:
// it also says so if showq alone is missing.
func (p *Postqueue) system(ctx context.Context) mailSystem {
	dir, _ := p.queueDir(ctx) // if it is unknown, so is the rest
	return p.mailSystem(ctx, dir)
}

// refusedDir returns the configuration directory that postqueue refuses, in the words of Postfix 3.2 and later or in
// those of earlier versions.
func refusedDir(stderr string) (dir string, ok bool) {
	const text = " configuration directory name: "
	if dir, ok = cutDiagnostic(stderr, "error: unauthorized"+text); ok {
		return dir, true
	}
	return cutDiagnostic(stderr, "error: untrusted"+text)
}

// denied says that a user is not in authorized_mailq_users. Postfix calls every user without a name unknown.
func (p *Postqueue) denied(ctx context.Context, name, number string) error {
	present := p.presentValue(ctx, "authorized_mailq_users")
	return fmt.Errorf("%s is not allowed to view the mail queue; as root: %s",
		userOf(name, number), addToList(p.configDir, "authorized_mailq_users", present, name))
}

func userOf(name, number string) string {
	if name == "unknown" {
		return "user " + number + ", which has no name,"
	}
	return "user " + name
}

// cutDiagnostic returns what follows text in the line of postqueue's diagnostics that begins with it.
func cutDiagnostic(stderr, text string) (rest string, found bool) {
	for line := range strings.Lines(stderr) {
		if rest, ok := strings.CutPrefix(line, "postqueue: "+text); ok {
			rest = strings.TrimSpace(rest)
			return strings.TrimSuffix(strings.TrimPrefix(rest, "("), ")"), true
		}
	}
	return "", false
}
