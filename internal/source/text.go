package source

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

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

// textParser reads the lines of postqueue -p, as showq_compat.c of Postfix writes them: a header; for each message
// a line, its reasons and recipients, and a blank line; and a summary.
type textParser struct {
	visit   func(*queue.Message)
	message queue.Message
	open    bool   // message is not complete yet
	reason  string // of the recipients that follow

	begun, empty        bool
	messages, sizeBytes int64
	summary             []string // of textSummary: KiB and messages
}

var (
	// textMessage is the line of a message: ID, marks, size, time, sender. Up to Postfix 2.2 a size of eight digits
	// touches the mark.
	textMessage = whenUsed(`^([0-9A-Za-z]+)(?:([*!#]+) *| +)(\d+) +[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d +(.*)$`)
	// textSummary is the last line. Only its exact form ends a listing.
	textSummary = whenUsed(`^-- (\d+) Kbytes in (\d+) Requests?\.$`)
)

// line reads a line and reports whether it is part of a listing, at this place.
func (p *textParser) line(line []byte) bool {
	text := bytes.TrimLeft(line, " ")
	isEnd := p.empty || p.summary != nil
	switch {
	case len(text) == 0:
		p.flush()
		return true
	case isEnd:
		return false
	case !p.begun:
		p.begun, p.empty = true, string(line) == textEmpty
		return p.empty || isTextHeader(line)
	case text[0] == '(' && p.open:
		// Never an address: one that begins so is quoted.
		if p.reason = strings.TrimSuffix(string(text[1:]), ")"); p.reason == noTextReason {
			p.reason = ""
		}
		return true
	case len(text) < len(line):
		p.message.Recipients = append(p.message.Recipients, queue.Recipient{Address: string(text), Reason: p.reason})
		return p.open
	}
	p.flush()
	if p.summary = textSummary().FindStringSubmatch(string(line)); p.summary != nil {
		return true
	}
	return p.begin(textMessage().FindStringSubmatch(string(line)))
}

// begin begins the message of a line, and reports whether it is one.
func (p *textParser) begin(line []string) bool {
	if line == nil {
		return false
	}
	id, marks, sender := line[1], line[2], line[4]
	size, err := strconv.ParseInt(line[3], 10, 64)
	if err != nil {
		return false
	}
	p.open, p.reason = true, ""
	p.message = queue.Message{
		ID: id, SizeBytes: size, ForcedExpire: strings.Contains(marks, "#"),
		Sender: sender, Recipients: p.message.Recipients[:0],
	}
	switch {
	case strings.Contains(marks, "*"):
		p.message.Queue = queue.Active
	case strings.Contains(marks, "!"):
		p.message.Queue = queue.Hold
	}
	return true
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

// verdict compares the messages with the summary. Before Postfix 3.1 that sums the sizes of queue files, which are
// larger than the messages in them.
func (p *textParser) verdict() error {
	p.flush()
	messages, kib := strconv.FormatInt(p.messages, 10), p.sizeBytes/1024
	switch {
	case p.empty:
		return nil
	case p.summary == nil:
		return errCutOff
	}
	if sum, err := strconv.ParseInt(p.summary[1], 10, 64); err != nil || sum < kib || p.summary[2] != messages {
		return fmt.Errorf("the listing has %s messages of %d KiB, but its summary says %s of %s KiB: lines are missing; make it again",
			messages, kib, p.summary[2], p.summary[1])
	}
	return nil
}
