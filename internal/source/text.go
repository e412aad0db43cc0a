package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"example.org/postfix-queue-monitor/internal/lines"
	"example.org/postfix-queue-monitor/internal/queue"
)

// textEmpty is the whole text listing of an empty queue.
const textEmpty = "Mail queue is empty"

// noTextReason follows recipients with a reason and stands for none.
const noTextReason = "reason unavailable"

// isTextHeader reports whether a line is the first of a text listing. With long queue IDs it has
// more dashes.
func isTextHeader(line []byte) bool {
	title := bytes.TrimLeft(line, "-")
	return len(title) < len(line) && bytes.HasPrefix(title, []byte("Queue ID-"))
}

// parseText reads the output of postqueue -p, as showq_compat.c of Postfix writes it: a header; for
// each message a line, its reasons and recipients, and a blank line; and a summary. The error is
// errCutOff if the summary is missing, and another one if it contradicts the messages.
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
	summary             *textSummary
}

// textSummary is the last line: -- N Kbytes in M Requests.
type textSummary struct{ kib, messages int64 }

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
		p.summary = parseTextSummary(string(line))
	case isTextHeader(line):
	case string(line) == textEmpty:
		p.empty = true
	default:
		p.begin(string(line))
	}
}

// begin reads the line of a message: ID with its marks, size, four words of time, sender. It skips
// any other line: the summary shows the loss.
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
	p.open = true
	p.reason = ""
	p.message = queue.Message{
		ID:           id,
		SizeBytes:    size,
		ForcedExpire: forced,
		Sender:       strings.TrimLeft(rest, " "),
		Recipients:   p.message.Recipients[:0],
	}
	switch {
	case active:
		p.message.Queue = queue.Active
	case held:
		p.message.Queue = queue.Hold
	}
}

// flush visits the message that is complete now, if there is one.
func (p *textParser) flush() {
	if !p.open {
		return
	}
	p.open = false
	p.messages++
	p.sizeBytes += p.message.SizeBytes
	p.visit(&p.message)
}

// parseTextSummary reads the last line; nil if it is anything else. Only its exact form ends a
// listing.
func parseTextSummary(line string) *textSummary {
	kibText, rest, _ := strings.Cut(strings.TrimPrefix(line, "-- "), " Kbytes in ")
	messagesText, end, _ := strings.Cut(rest, " Request")
	// 63 bits, without a sign.
	kib, kibErr := strconv.ParseUint(kibText, 10, 63)
	messages, messagesErr := strconv.ParseUint(messagesText, 10, 63)
	if kibErr != nil || messagesErr != nil || (end != "." && end != "s.") {
		return nil
	}
	return &textSummary{int64(kib), int64(messages)}
}

// verdict returns an error if the listing was not whole.
func (p *textParser) verdict() error {
	switch {
	case p.empty && p.messages == 0:
		return nil
	case p.summary == nil:
		return errCutOff
	case p.summary.messages != p.messages || p.summary.kib != p.sizeBytes/1024:
		return fmt.Errorf("the listing has %d messages of %d KiB, but its summary says %d of %d KiB: lines are missing; make it again",
			p.messages, p.sizeBytes/1024, p.summary.messages, p.summary.kib)
	}
	return nil
}
