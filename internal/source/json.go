package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"

	"example.org/postfix-queue-monitor/internal/lines"
	"example.org/postfix-queue-monitor/internal/queue"
)

// jsonMessage is a line of postqueue -j. postqueue(1) describes the format, "JSON OBJECT FORMAT": unknown members
// must be ignored.
type jsonMessage struct {
	QueueName    string          `json:"queue_name"`
	QueueID      string          `json:"queue_id"`
	ArrivalTime  int64           `json:"arrival_time"` // seconds since 1970
	MessageSize  int64           `json:"message_size"` // bytes
	ForcedExpire bool            `json:"forced_expire"`
	Sender       string          `json:"sender"`
	Recipients   []jsonRecipient `json:"recipients"`
}

type jsonRecipient struct {
	Address      string `json:"address"`
	DelayReason  string `json:"delay_reason"`
	BounceReason string `json:"bounce_reason"` // from Postfix 3.11 on
}

// waits reports whether the message still waits for this recipient. One that has bounced and has no reason for a
// delay is done.
func (r *jsonRecipient) waits() bool {
	return r.BounceReason == "" || r.DelayReason != ""
}

// The values of members that have not been read. Without them a message is unreadable.
const (
	noTime = math.MinInt64
	noSize = -1
)

func (m *jsonMessage) reset() {
	// Beyond the length, too: the decoder merges into the values that a longer list has left there.
	clear(m.Recipients[:cap(m.Recipients)])
	*m = jsonMessage{ArrivalTime: noTime, MessageSize: noSize, Recipients: m.Recipients[:0]}
}

func (m *jsonMessage) complete() bool {
	return slices.Contains(queue.Names(), queue.Name(m.QueueName)) && m.ArrivalTime != noTime && m.MessageSize >= 0
}

func (m *jsonMessage) fill(to *queue.Message) {
	*to = queue.Message{
		ID: m.QueueID, SizeBytes: max(0, m.MessageSize), ForcedExpire: m.ForcedExpire,
		Sender: m.Sender, Recipients: to.Recipients[:0],
	}
	if name := queue.Name(m.QueueName); slices.Contains(queue.Names(), name) {
		to.Queue = name
	}
	if m.ArrivalTime != noTime {
		to.Arrival = queue.ArrivalTime(m.ArrivalTime)
	}
	for i := range m.Recipients {
		if r := &m.Recipients[i]; r.waits() {
			to.Recipients = append(to.Recipients, queue.Recipient{Address: r.Address, Reason: r.DelayReason})
		}
	}
}

// jsonParser reads the lines of postqueue -j.
type jsonParser struct {
	visit      func(*queue.Message)
	decoded    jsonMessage
	message    queue.Message
	lines      int64 // from { to }
	unreadable int64 // of these
	cutOff     bool
}

// line reads a line and reports whether it is part of a listing. One that cannot be parsed is visited as a message
// with what its leading members say. err is that of reading the line.
func (p *jsonParser) line(line []byte, isLast bool, err error) bool {
	tooLong := errors.Is(err, lines.ErrTooLong)
	if text := bytes.Trim(line, blanks); !tooLong && (text[0] != '{' || text[len(text)-1] != '}') {
		p.cutOff = isLast && text[0] == '{'
		return p.cutOff
	}
	if bytes.LastIndex(line, messageStart) > bytes.IndexByte(line, '{') {
		return false // another message begins in it: a line end, or more, is missing
	}
	if p.cutOff = isLast; isLast {
		return true // it may be the beginning of a longer one
	}
	p.lines++
	p.decoded.reset()
	if tooLong || json.Unmarshal(line, &p.decoded) != nil || !p.decoded.complete() {
		p.unreadable++
		p.decoded.salvage(line)
	}
	p.decoded.fill(&p.message)
	p.visit(&p.message)
	return true
}

// messageStart is how postqueue -j begins a message. In an address or a reason it escapes quotation marks.
var messageStart = []byte(`{"queue_name"`)

func (p *jsonParser) verdict() error {
	switch {
	case p.cutOff:
		return errCutOff
	case p.lines > 0 && p.unreadable == p.lines:
		return errNoListing
	}
	return nil
}

// salvage reads what an unreadable line says before its addresses. postqueue writes the numbers first, and
// strangers choose only the addresses.
func (m *jsonMessage) salvage(line []byte) {
	for _, addresses := range []string{`"sender"`, `"recipients"`} {
		if head, _, found := bytes.Cut(line, []byte(addresses)); found {
			line = slices.Concat(bytes.TrimRight(head, ", "), []byte("}"))
		}
	}
	m.reset()
	_ = json.Unmarshal(line, m) // whatever it says
}
