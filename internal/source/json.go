package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"

	"example.org/postfix-queue-monitor/internal/queue"
)

// jsonMessage is a line of postqueue -j. The format is described in
// postqueue(1), "JSON OBJECT FORMAT": unknown members must be ignored.
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

// waits reports whether the message still waits for this recipient: one that
// has bounced and has no reason for a delay is done.
func (r *jsonRecipient) waits() bool {
	return r.BounceReason == "" || r.DelayReason != ""
}

// What a member is before it has been read: a message without one of these is
// not readable.
const (
	noTime = math.MinInt64
	noSize = -1
)

func (m *jsonMessage) reset() {
	// Not only the used part: the decoder goes on where an earlier, longer list
	// has left its values.
	clear(m.Recipients[:cap(m.Recipients)])
	*m = jsonMessage{ArrivalTime: noTime, MessageSize: noSize, Recipients: m.Recipients[:0]}
}

func (m *jsonMessage) complete() bool {
	return slices.Contains(queue.Names(), queue.Name(m.QueueName)) && m.ArrivalTime != noTime && m.MessageSize >= 0
}

// fill makes the message of what was read of the line.
func (m *jsonMessage) fill(to *queue.Message) {
	*to = queue.Message{
		ID:           m.QueueID,
		SizeBytes:    max(0, m.MessageSize),
		ForcedExpire: m.ForcedExpire,
		Sender:       m.Sender,
		Recipients:   to.Recipients[:0],
	}
	if name := queue.Name(m.QueueName); slices.Contains(queue.Names(), name) {
		to.Queue = name
	}
	if m.ArrivalTime != noTime {
		to.Arrival = arrivalTime(m.ArrivalTime)
	}
	for i := range m.Recipients {
		if r := &m.Recipients[i]; r.waits() {
			to.Recipients = append(to.Recipients, queue.Recipient{Address: r.Address, Reason: r.DelayReason})
		}
	}
}

// parseJSON reads the output of postqueue -j. A complete line that cannot be
// understood is counted in unreadable and visited as a message with what its
// leading members give; it is an error, ErrNoListing, only if no line can be
// understood. A last line without its end is an error, ErrCutOff.
func parseJSON(r io.Reader, visit func(*queue.Message)) (unreadable int64, err error) {
	lines := newLineReader(r)
	var (
		decoded  jsonMessage
		message  queue.Message
		readable bool
	)
	for {
		line, err := lines.next()
		switch {
		case err == nil, errors.Is(err, errLineTooLong):
		case errors.Is(err, io.EOF):
			if unreadable > 0 && !readable {
				return unreadable, ErrNoListing
			}
			return unreadable, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return unreadable, ErrCutOff
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
			decoded = salvage(line)
		}
		decoded.fill(&message)
		visit(&message)
	}
}

// salvage reads the leading members of a line up to the first that is broken
// or is no plain value. postqueue writes the numbers before the addresses, and
// it is the addresses that strangers choose.
func salvage(line []byte) jsonMessage {
	m := jsonMessage{ArrivalTime: noTime, MessageSize: noSize}
	tokens := json.NewDecoder(bytes.NewReader(line))
	tokens.UseNumber()
	if start, err := tokens.Token(); err != nil || start != json.Delim('{') {
		return m
	}
	for {
		name, err := tokens.Token()
		if err != nil {
			return m
		}
		value, err := tokens.Token()
		if err != nil {
			return m
		}
		switch value := value.(type) {
		case string:
			switch name {
			case "queue_name":
				m.QueueName = value
			case "queue_id":
				m.QueueID = value
			}
		case json.Number:
			n, err := value.Int64()
			if err != nil {
				continue
			}
			switch name {
			case "arrival_time":
				m.ArrivalTime = n
			case "message_size":
				m.MessageSize = n
			}
		case bool:
			if name == "forced_expire" {
				m.ForcedExpire = value
			}
		case json.Delim:
			return m
		}
	}
}
