package source

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"example.org/postfix-queue-monitor/internal/queue"
)

// textEmpty is all there is of an empty text listing.
const textEmpty = "Mail queue is empty"

// noTextReason stands for no reason after recipients that had one.
const noTextReason = "reason unavailable"

// isTextHeader reports whether a line is the first of a text listing. It has
// more dashes where long queue IDs are enabled.
func isTextHeader(line []byte) bool {
	title := bytes.TrimLeft(line, "-")
	return len(title) < len(line) && bytes.HasPrefix(title, []byte("Queue ID-"))
}

// textBlind are the queues that have no mark in a text listing.
func textBlind() []queue.Name {
	return []queue.Name{queue.Deferred, queue.Incoming, queue.Maildrop}
}

// parseText reads the output of postqueue -p, as showq_compat.c of Postfix
// writes it: a header, for each message a line, its reasons and recipients and
// a blank line, and a summary. A listing whose summary is missing or does not
// agree with its messages is an error, ErrCutOff or *SumError.
func parseText(r io.Reader, visit func(*queue.Message)) error {
	p := textParser{visit: visit}
	lines := newLineReader(r)
	for {
		line, err := lines.next()
		switch {
		case err == nil, errors.Is(err, errLineTooLong):
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
	open    bool   // message has been begun
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

// begin reads the line of a message: ID with its marks, size, four words of
// time, sender. A line that is none is passed over: the summary shows the loss.
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

// flush visits the message that was begun, if any.
func (p *textParser) flush() {
	if !p.open {
		return
	}
	p.open = false
	p.messages++
	p.sizeBytes += p.message.SizeBytes
	p.visit(&p.message)
}

// parseTextSummary reads the last line; nil where it is none. Only its exact form
// is taken for the end of a listing.
func parseTextSummary(line string) *textSummary {
	kibText, rest, _ := strings.Cut(strings.TrimPrefix(line, "-- "), " Kbytes in ")
	messagesText, end, _ := strings.Cut(rest, " Request")
	// Of 63 bits, and without a sign.
	kib, kibErr := strconv.ParseUint(kibText, 10, 63)
	messages, messagesErr := strconv.ParseUint(messagesText, 10, 63)
	if kibErr != nil || messagesErr != nil || (end != "." && end != "s.") {
		return nil
	}
	return &textSummary{int64(kib), int64(messages)}
}

// verdict says whether the listing was whole.
func (p *textParser) verdict() error {
	switch {
	case p.empty && p.messages == 0:
		return nil
	case p.summary == nil:
		return ErrCutOff
	case p.summary.messages != p.messages || p.summary.kib != p.sizeBytes/1024:
		return &SumError{
			Messages: p.messages, KiB: p.sizeBytes / 1024,
			SummaryMessages: p.summary.messages, SummaryKiB: p.summary.kib,
		}
	}
	return nil
}
