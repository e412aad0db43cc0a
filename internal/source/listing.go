package source

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"

	"example.org/postfix-queue-monitor/internal/lines"
	"example.org/postfix-queue-monitor/internal/queue"
)

// What can be wrong with a listing, wherever it comes from.
var (
	// errCutOff is a listing that ends inside a line, or a text listing that ends before its summary.
	errCutOff = errors.New("the listing is cut off before its end; make it again, and check that the command that makes it succeeds")
	// errNoListing is a listing without a line that can be parsed.
	errNoListing = errors.New("no line of the listing can be parsed; it must be the output of postqueue -j or postqueue -p")
	// errNotAListing is something that does not begin as a listing. It is not quoted: it may be any file.
	errNotAListing = errors.New("the input is not the output of postqueue -j or postqueue -p")
	// errReformatted is a listing that another program has written anew.
	errReformatted = errors.New("the input is JSON, but not one message a line as postqueue -j writes it; " +
		"if jq has made it, use jq -c . or, for an array, jq -c .[]")
)

// listingParser reads the output of postqueue -j or postqueue -p, with the diagnostics of Postfix among its lines
// if standard error was written to the same place.
//
// A line that is neither makes the listing broken: what follows or precedes it may be missing. Only a JSON line
// from { to } that cannot be parsed is counted and read as far as possible, because an address, which strangers
// choose, must not blind the check.
type listingParser struct {
	json *jsonParser // the format, once it is known: either
	text *textParser

	visit       func(*queue.Message)
	diagnostics string // of Postfix: lines with their ends, as many as matter
	foreign     error  // the first line that is not part of a listing
	useless     int    // lines that are not
}

// blanks are what may surround a line of a listing. Whatever else a line consists of belongs to something else.
const blanks = " \t\r\n"

// hasBegun reports whether there was a line of a listing.
func (p *listingParser) hasBegun() bool { return p.json != nil || p.text != nil }

// parse reads r to its end, or to an error of reading.
func (p *listingParser) parse(r io.Reader) error {
	listing := lines.NewReader(r)
	for n := 1; ; n++ {
		line, err := listing.Next()
		isLast := errors.Is(err, io.ErrUnexpectedEOF)
		switch {
		case err == nil, isLast, errors.Is(err, lines.ErrTooLong):
			if !p.line(line, isLast, err) {
				p.foreign = cmp.Or(p.foreign, p.notPart(n, line, isLast))
				p.useless++
			}
		case errors.Is(err, io.EOF):
		default:
			return err
		}
		if isLast || errors.Is(err, io.EOF) || p.isHopeless() {
			return p.verdict()
		}
	}
}

// isHopeless reports whether so much of the listing is useless that there is no point in reading on.
func (p *listingParser) isHopeless() bool {
	return p.useless >= hopeless || p.json != nil && p.json.unreadable >= hopeless && p.json.unreadable == p.json.lines
}

const hopeless = 1000 // lines

// line takes a line and reports whether it is part of a listing.
func (p *listingParser) line(line []byte, isLast bool, err error) bool {
	switch text := bytes.Trim(line, blanks); {
	case diagnosticLine().Match(line):
		p.note(line)
		return true
	case len(text) == 0 && p.text == nil:
		return true
	case !p.hasBegun() && text[0] == '{':
		p.json = &jsonParser{visit: p.visit}
	case !p.hasBegun() && (isTextHeader(line) || string(line) == textEmpty):
		p.text = &textParser{visit: p.visit}
	}
	switch {
	case p.json != nil:
		return p.json.line(line, isLast, err)
	case p.text != nil:
		return p.text.line(line)
	}
	return false
}

// note keeps a diagnostic. Of many it keeps the first ones, and the first ones that say more than a warning.
func (p *listingParser) note(line []byte) {
	line = line[:min(len(line), keepDiagnostics/4)]
	limit := keepDiagnostics
	if failureLine().Match(line) || bytes.Contains(line, []byte(systemDown)) {
		limit *= 2
	}
	if len(p.diagnostics)+len(line) < limit {
		p.diagnostics += string(line) + "\n"
	}
}

// notPart returns the error for a line that is not part of a listing.
func (p *listingParser) notPart(n int, line []byte, isLast bool) error {
	switch text := bytes.Trim(line, blanks); {
	case n == 1 && bytes.HasPrefix(text, []byte("[")), p.json != nil && p.json.lines == 0:
		return errReformatted
	case !p.hasBegun():
		return errNotAListing
	case p.text != nil && isLast:
		return errCutOff
	default:
		return fmt.Errorf("line %d is not part of the listing: %s; make it again, without the output of anything else",
			n, text[:min(len(text), 60)])
	}
}

// verdict returns an error unless the listing was whole.
func (p *listingParser) verdict() error {
	var err error
	switch {
	case p.json != nil:
		err = p.json.verdict()
	case p.text != nil:
		err = p.text.verdict()
	}
	failed := ""
	if p.diagnostics != "" {
		failed = failureLine().FindString(p.diagnostics)
	}
	switch {
	case p.foreign != nil:
		return p.foreign
	case failed != "" && p.hasBegun():
		return fmt.Errorf("the listing is not whole, Postfix says: %s", strings.TrimSpace(failed))
	case failed != "":
		return errSaid
	}
	return err
}

// errSaid says that there is no listing, only what Postfix said instead of one.
var errSaid = errors.New("there is no listing, only diagnostics of Postfix")

var (
	// diagnosticLine is a line that Postfix's programs write to standard error.
	diagnosticLine = whenUsed(`^(postqueue|sendmail|mailq): (warning|error|fatal|panic): `)
	// failureLine is one after which there is no listing, or the rest of it is missing.
	failureLine = whenUsed(`(?m)^\w+: (error|fatal|panic): .*$`)
)

// whenUsed compiles an expression when it is used for the first time. Most runs need none: what they take is mostly the
// start of the program.
func whenUsed(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// facts adds what the listing says beyond its messages.
func (p *listingParser) facts(facts queue.Facts) queue.Facts {
	if p.json != nil {
		facts.Unreadable = p.json.unreadable
	}
	if p.text != nil {
		facts.Indistinct, facts.NoArrivalTimes = indistinctInText, true
	}
	if reason, ok := cutDiagnostic(p.diagnostics, systemDown); ok {
		facts.Down = cmp.Or(reason, "reason unknown")
	}
	return facts
}

// systemDown is what postqueue says to root before it lists the queue of a system that is down.
const systemDown = "warning: Mail system is down -- accessing queue directly"

// explainDiagnostics says what Postfix's diagnostics in place of a listing mean, for whoever made it.
func explainDiagnostics(diagnostics string) error {
	if reason, ok := cutDiagnostic(diagnostics, "fatal: Queue report unavailable - mail system is down"); ok {
		return &queue.DownError{Reason: reason}
	}
	if m := deniedUser().FindStringSubmatch(diagnostics); m != nil {
		return fmt.Errorf("%s is not allowed to view the mail queue; as root, on the host of the listing: %s",
			userOf(m[1], m[2]), addToList("", "authorized_mailq_users", nil, m[1]))
	}
	return fmt.Errorf("there is no listing, Postfix says: %s", strings.TrimSpace(failureLine().FindString(diagnostics)))
}
