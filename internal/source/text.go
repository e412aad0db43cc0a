package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"example.org/postfix-queue-monitor/internal/lines"
	"example.org/postfix-queue-monitor/internal/queue"
)

// indistinctInText are the queues that have no mark in a text listing.
var indistinctInText = []queue.Name{queue.Deferred, queue.Incoming, queue.Maildrop}

// textEmpty is the whole text listing of an empty queue.
const textEmpty = "Mail queue is empty"

// noTextReason follows recipients with a reason and stands for none.
const noTextReason = "reason unavailable"

// isTextHeader reports whether a line is the first of a text listing. With long queue IDs it has more dashes.
func isTextHeader(line []byte) bool {
	title := bytes.TrimLeft(line, "-")
	return len(title) < len(line) && bytes.HasPrefix(title, []byte("Queue ID-"))
}

// parseText reads the output of postqueue -p, as showq_compat.c of Postfix writes it: a header; for each message
// a line, its reasons and recipients, and a blank line; and a summary. The error is errCutOff if the summary is
// missing, and another one if it contradicts the messages.
func parseText(r io.Reader, visit func(*queue.Message)) error {
	p := textParser{visit: visit}
	listing := lines.NewReader(r)
	for {
		line, err := listing.Next()
		switch {
		case err == nil, errors.Is(err, lines.ErrTooLong):
			p.line(line)
			continue
		case errors.Is(err, io.ErrUnexpectedEOF):
			p.line(bytes.TrimSuffix(line, []byte("\r")))
			err = io.EOF
		}
		p.flush()
		if !errors.Is(err, io.EOF) {
			return err
		}
		return p.verdict()
	}
}

type textParser struct {
	visit   func(*queue.Message)
	message queue.Message
	open    bool   // message is not complete yet
	reason  string // of the recipients that follow

	messages, sizeBytes int64
	empty               bool
	summary             []string // of textSummary: KiB and messages
}

// textSummary is the last line. Only its exact form ends a listing.
var textSummary = regexp.MustCompile(`^-- (\d+) Kbytes in (\d+) Requests?\.$`)

func (p *textParser) line(line []byte) {
	text := bytes.TrimLeft(line, " ")
	indented := len(text) < len(line)
	switch {
	case len(text) == 0:
		p.flush()
	case text[0] == '(':
		// Never an address: one that begins so is quoted.
		if p.reason = strings.TrimSuffix(string(text[1:]), ")"); p.reason == noTextReason {
			p.reason = ""
		}
	case indented:
		if p.open {
			p.message.Recipients = append(p.message.Recipients, queue.Recipient{Address: string(text), Reason: p.reason})
		}
	case bytes.HasPrefix(line, []byte("-- ")):
		p.summary = textSummary.FindStringSubmatch(string(line))
	case isTextHeader(line):
	case string(line) == textEmpty:
		p.empty = true
	default:
		p.begin(string(line))
	}
}

// begin reads the line of a message: ID with its marks, size, four words of time, sender. It skips any other
// line: the summary shows the loss.
func (p *textParser) begin(line string) {
	p.flush()
	id, rest, _ := strings.Cut(line, " ")
	id, forced := strings.CutSuffix(id, "#")
	id, active := strings.CutSuffix(id, "*")
	id, held := strings.CutSuffix(id, "!")
	sizeText, rest, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	size, err := strconv.ParseInt(sizeText, 10, 64)
	if id == "" || err != nil || size < 0 {
		return
	}
	for range 4 { // Mon Nov 23 17:14:59
		_, rest, _ = strings.Cut(strings.TrimLeft(rest, " "), " ")
	}
	p.open, p.reason = true, ""
	p.message = queue.Message{
		ID: id, SizeBytes: size, ForcedExpire: forced,
		Sender: strings.TrimLeft(rest, " "), Recipients: p.message.Recipients[:0],
	}
	switch {
	case active:
		p.message.Queue = queue.Active
	case held:
		p.message.Queue = queue.Hold
	}
}

func (p *textParser) flush() {
	if !p.open {
		return
	}
	p.open = false
	p.messages++
	p.sizeBytes += p.message.SizeBytes
	p.visit(&p.message)
}

func (p *textParser) verdict() error {
	messages, kib := strconv.FormatInt(p.messages, 10), strconv.FormatInt(p.sizeBytes/1024, 10)
	switch {
	case p.empty && p.messages == 0:
		return nil
	case p.summary == nil:
		return errCutOff
	case p.summary[1] != kib || p.summary[2] != messages:
		return fmt.Errorf("the listing has %s messages of %s KiB, but its summary says %s of %s KiB: lines are missing; make it again",
			messages, kib, p.summary[2], p.summary[1])
	}
	return nil
}
