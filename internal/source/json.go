package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
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

// parseJSON reads the output of postqueue -j. It counts a whole line that it cannot parse in unreadable, and
// visits a message with what the leading members say; only if no line can be parsed, the error is errNoListing.
// It is errCutOff if the last line has no end.
func parseJSON(r io.Reader, visit func(*queue.Message)) (unreadable int64, err error) {
	listing := lines.NewReader(r)
	var (
		decoded  jsonMessage
		message  queue.Message
		readable bool
	)
	for {
		line, err := listing.Next()
		switch {
		case err == nil, errors.Is(err, lines.ErrTooLong):
		case errors.Is(err, io.EOF):
			if unreadable > 0 && !readable {
				return unreadable, errNoListing
			}
			return unreadable, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return unreadable, errCutOff
		default:
			return unreadable, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		decoded.reset()
		if err == nil && json.Unmarshal(line, &decoded) == nil && decoded.complete() {
			readable = true
		} else {
			unreadable++
			decoded.salvage(line)
		}
		decoded.fill(&message)
		visit(&message)
	}
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
