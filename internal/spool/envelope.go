package spool

import (
	"bytes"
	"errors"
	"io"
	"math"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
)

// envelopeRules are what differs between queues and versions of Postfix.
type envelopeRules struct {
	// sizeCounts reports whether a SIZE record counts; nil: it does. In maildrop it is left over from an earlier
	// life of the message; see sizeRecordCounts.
	sizeCounts func() bool
	utf8       utf8Setting
	// expires reports whether a message is about to expire; nil: that is unknown, or does not matter in this queue.
	expires func(created time.Time, isBounce bool) bool
	// stopped reports whether reading must end; nil: it goes on.
	stopped func() bool
	// readAll makes the number of recipients in the SIZE record not count. Anybody may write to maildrop.
	readAll bool
}

// Limits of what one queue file may cost: in maildrop anybody can make one.
const (
	maxEnvelope   = 32 << 20 // bytes that are read
	maxJumps      = 1024     // pointers that are followed; a milter makes a few
	maxRecipients = 1 << 18  // recipients that are counted
	maxAddresses  = 16 << 20 // bytes of their addresses that are kept
)

// readEnvelope fills in what the envelope of a queue file says, as showq.c reads it: arrival time, size, sender
// and the recipients that are still waiting. It reports whether the file is a message, that is, whether a sender
// comes before the end, before a recipient and before damage. The error is that of reading the file; nothing is
// known about the message then.
func (w *recordWindow) readEnvelope(f queueFile, rules envelopeRules, m *queue.Message) (ok bool, err error) {
	w.reset(f)
	m.SizeBytes = f.sizeBytes
	m.Recipients = m.Recipients[:0]
	m.Login, m.Client, m.ContentFilter, m.Expiring, m.Truncated, m.Done = "", "", "", false, false, 0
	// The budget covers every record once: more is spent only on pointers that go round in circles.
	e := envelope{
		rules: rules, file: &w.f, message: m, untilPoll: pollAfter,
		budget: min(2*f.sizeBytes, maxEnvelope) + windowSize,
	}
	for {
		begin := w.skipAttributes(e.offset)
		kind, data, next, err := w.record(begin)
		if errors.Is(err, io.EOF) || errors.Is(err, errDamaged) {
			return e.hasSender, nil
		}
		if err != nil {
			return false, err
		}
		e.budget -= next - e.offset
		e.untilPoll -= next - e.offset + perRecord
		if kind == 0 || e.budget < 0 || e.untilPoll < 0 && e.stopped() {
			return e.hasSender, nil
		}
		e.offset = next
		if done := e.take(kind, data); done {
			return e.hasSender, nil
		}
	}
}

// Reading asks whether it must stop after this much work, in bytes. A record is work even if it is short.
const pollAfter, perRecord = 1 << 18, 256

type envelope struct {
	rules   envelopeRules
	file    *queueFile
	message *queue.Message

	offset    int64 // of the next record
	budget    int64 // bytes that may still be read
	untilPoll int64 // work until rules.stopped is called
	jumps     int   // pointers that were followed

	hasTime, hasSize, hasSender bool
	created                     time.Time // zero: when it arrived
	recipients                  int64     // seen, those that are done included
	recipientsExpected          int64     // from the SIZE record
	addressBytes                int
}

func (e *envelope) stopped() bool {
	e.untilPoll = pollAfter
	return e.rules.stopped != nil && e.rules.stopped()
}

// take takes what a record says into the message, and reports whether it is the last one that matters. It may
// change the offset of the next record.
func (e *envelope) take(kind byte, data []byte) (done bool) {
	m := e.message
	switch kind {
	case recordTime:
		if seconds, ok := leadingInt(cString(data)); ok && seconds > 0 && !e.hasTime {
			m.Arrival, e.hasTime = queue.ArrivalTime(seconds), true
		}
	case recordAttribute:
		e.takeAttribute(cString(data))
	case recordSize:
		e.takeSize(data)
	case recordSender:
		if e.hasSender {
			return true // showq reads no further than a second sender
		}
		e.hasSender = true
		m.Sender = e.rules.utf8.listedAddress(cString(data))
		if !e.hasTime {
			m.Arrival = e.file.modified
		}
		if e.rules.expires != nil {
			created := e.created
			if created.IsZero() {
				created = m.Arrival
			}
			m.Expiring = e.rules.expires(created, len(cString(data)) == 0)
		}
	case recordRecipient:
		if !e.hasSender {
			return true
		}
		e.takeRecipient(cString(data))
	case recordDone:
		e.recipients++
		m.Done++
	case recordFilter:
		m.ContentFilter = string(cString(data))
	case recordPointer:
		return !e.follow(data)
	case recordMessage:
		if e.hasSender && e.recipientsExpected > 0 && e.recipients >= e.recipientsExpected && !e.rules.readAll {
			return true // no recipient is left for the part behind the content
		}
		if e.hasSize {
			e.offset += min(m.SizeBytes, e.file.sizeBytes) // anything larger is behind the end, too
		}
	case recordEnd:
		return true
	}
	return false
}

func (e *envelope) takeAttribute(text []byte) {
	if value, found := bytes.CutPrefix(text, createTime); found {
		if seconds, ok := leadingInt(value); ok {
			e.created = queue.ArrivalTime(seconds)
		}
	} else if value, found := bytes.CutPrefix(text, login); found {
		e.message.Login = string(value)
	} else if value, found := bytes.CutPrefix(text, client); found {
		e.message.Client = string(value)
	}
}

func (e *envelope) takeSize(data []byte) {
	if e.hasSize || e.rules.sizeCounts != nil && !e.rules.sizeCounts() {
		return
	}
	if size, recipients, ok := parseSizeRecord(cString(data)); ok {
		e.message.SizeBytes, e.recipientsExpected, e.hasSize = size, recipients, true
	}
}

func (e *envelope) takeRecipient(address []byte) {
	e.recipients++
	if len(e.message.Recipients) >= maxRecipients || e.addressBytes >= maxAddresses {
		e.message.Truncated = true
		return
	}
	e.addressBytes += len(address)
	e.message.Recipients = append(e.message.Recipients, queue.Recipient{Address: e.rules.utf8.listedAddress(address)})
}

// follow goes where a pointer record leads, and reports whether it can. A pointer to 0 is a placeholder.
func (e *envelope) follow(data []byte) bool {
	target, ok := leadingInt(cString(data))
	if ok && target > 0 {
		e.offset = target
		e.jumps++
	}
	return ok && e.jumps <= maxJumps
}

// parseSizeRecord reads the first and the third number of a SIZE record: the message's size in bytes, and its
// number of recipients, done ones included.
func parseSizeRecord(text []byte) (sizeBytes, recipients int64, ok bool) {
	var numbers [3]int64
	i, inNumber := 0, false
	for _, c := range text {
		digit := int64(c) - '0'
		switch {
		case c == ' ' && inNumber:
			i, inNumber = i+1, false
		case c == ' ':
		case digit < 0 || digit > 9:
			return 0, 0, false
		case i < len(numbers):
			if numbers[i] > (math.MaxInt64-digit)/10 {
				return 0, 0, false
			}
			numbers[i], inNumber = 10*numbers[i]+digit, true
		}
	}
	return numbers[0], numbers[2], i > 0 || inNumber
}

// leadingInt reads the number at the beginning of a text, as atol does.
func leadingInt(text []byte) (n int64, ok bool) {
	for _, c := range bytes.TrimLeft(text, " \t") {
		digit := int64(c) - '0'
		if digit < 0 || digit > 9 {
			break
		}
		if n > (math.MaxInt64-digit)/10 {
			return 0, false
		}
		n, ok = 10*n+digit, true
	}
	return n, ok
}

// cString returns the data up to the first NUL, which ends a string in C.
func cString(data []byte) []byte {
	data, _, _ = bytes.Cut(data, []byte{0})
	return data
}
