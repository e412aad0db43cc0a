package source

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
)

// The records of a queue file that matter here: rec_type.h of Postfix.
const (
	recordSize        = 'C' // message size, data offset, recipient count, ...
	recordTime        = 'T' // arrival time: seconds and microseconds
	recordSender      = 'S'
	recordRecipient   = 'R' // still to be delivered to
	recordDone        = 'D' // a recipient that has been delivered to
	recordPointer     = 'p' // the next record is elsewhere in the file
	recordDeletedText = 'w' // padding
	recordMessage     = 'M' // the message's content follows
	recordEnd         = 'E'
)

// queueFile is an open queue file with what fstat says of it.
type queueFile struct {
	io.ReaderAt
	sizeBytes int64
	modified  time.Time
	head      int // bytes of its beginning that the window has already
}

// envelopeRules are what differs between queues and versions of Postfix.
type envelopeRules struct {
	// sizeCounts reports whether a SIZE record counts; nil: it does. In maildrop
	// it is from an earlier life of the message; see sizeRecordCounts.
	sizeCounts func() bool
	// stopped reports whether the reading is to end; nil: it goes on.
	stopped func() bool
	// readAll: the count of recipients in the SIZE record is not believed.
	// Anybody may write into maildrop.
	readAll bool
}

// Limits of what is believed of a queue file, for in maildrop anybody may have
// made it.
const (
	maxRecord     = 64 << 10 // longer ones are passed over; Postfix writes 2 KiB
	maxEnvelope   = 32 << 20 // bytes that are looked at, in all
	maxJumps      = 1024     // pointers that are followed; a milter makes a few
	maxRecipients = 1 << 18  // more are not counted
	maxAddresses  = 16 << 20 // bytes of them, in all: likewise
)

// readEnvelope fills in what the envelope of a queue file says, as showq.c
// reads it: arrival time, size, sender and the recipients that are left. It
// reports whether the file is a message: whether a sender comes before its end,
// before a recipient and before damage. The error is that of reading the file:
// nothing is known of it then.
func (w *recordWindow) readEnvelope(f queueFile, rules envelopeRules, m *queue.Message) (ok bool, err error) {
	w.reset(f)
	m.SizeBytes = f.sizeBytes
	m.Recipients = m.Recipients[:0]
	var (
		hasTime, hasSize, hasSender bool
		recipients, recipientsTold  int64
		addressBytes                int
		unasked                     int64 // work done since stopped was asked
	)
	// Each record is met once, unless pointers go round in circles.
	budget, jumps := min(2*f.sizeBytes, maxEnvelope)+windowSize, 0
	for offset := int64(0); ; {
		kind, data, next, err := w.record(offset)
		if err != nil {
			err = unlessEnd(err)
			return hasSender && err == nil, err
		}
		if budget -= next - offset; budget < 0 || kind == 0 {
			return hasSender, nil
		}
		// A short record is work, too.
		if unasked += next - offset + 256; unasked > 1<<18 && rules.stopped != nil {
			if unasked = 0; rules.stopped() {
				return hasSender, nil
			}
		}
		offset = next
		switch kind {
		case recordTime:
			if seconds, ok := leadingInt(cString(data)); ok && seconds > 0 && !hasTime {
				m.Arrival, hasTime = arrivalTime(seconds), true
			}
		case recordSize:
			if !hasSize && (rules.sizeCounts == nil || rules.sizeCounts()) {
				if size, told, ok := parseSizeRecord(cString(data)); ok {
					m.SizeBytes, recipientsTold, hasSize = size, told, true
				}
			}
		case recordSender:
			if hasSender {
				return true, nil // what follows the second one is not read
			}
			hasSender = true
			m.Sender = listedAddress(cString(data))
			if !hasTime {
				m.Arrival = f.modified
			}
		case recordRecipient:
			if !hasSender {
				return false, nil
			}
			if recipients++; len(m.Recipients) < maxRecipients && addressBytes < maxAddresses {
				address := cString(data)
				addressBytes += len(address)
				m.Recipients = append(m.Recipients, queue.Recipient{Address: listedAddress(address)})
			}
		case recordDone:
			recipients++
		case recordPointer:
			target, ok := leadingInt(cString(data))
			if !ok {
				return hasSender, nil
			}
			if target > 0 { // 0 is a place holder
				offset = target
				if jumps++; jumps > maxJumps {
					return hasSender, nil
				}
			}
		case recordMessage:
			if hasSender && hasSize && recipientsTold > 0 && recipients >= recipientsTold && !rules.readAll {
				return true, nil // none is left for the part behind the content
			}
			if hasSize {
				offset += min(m.SizeBytes, f.sizeBytes) // further is behind the end, too
			}
		case recordEnd:
			return hasSender, nil
		}
	}
}

// unlessEnd returns an error that is neither the end of a file nor damage.
func unlessEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, errDamaged) {
		return nil
	}
	return err
}

// parseSizeRecord reads the first and the third number of a SIZE record: the
// message's size and the number of its recipients, done ones included.
func parseSizeRecord(text []byte) (sizeBytes, recipients int64, ok bool) {
	if len(bytes.Trim(text, "0123456789 ")) > 0 {
		return 0, 0, false
	}
	sizeBytes, ok = leadingInt(text)
	for range 2 { // the numbers before it
		_, text, _ = bytes.Cut(bytes.TrimLeft(text, " "), []byte(" "))
	}
	recipients, _ = leadingInt(text)
	return sizeBytes, recipients, ok
}

// arrivalTime returns the time that is so many seconds after 1970. One that
// nothing can have arrived at is as far as the clock of this program can tell
// apart: the end of the year 9999, or 1970.
func arrivalTime(seconds int64) time.Time {
	const endOf9999 = 253402300799
	return time.Unix(max(0, min(seconds, endOf9999)), 0)
}

// leadingInt reads the number that a text begins with, as atol does.
func leadingInt(text []byte) (n int64, ok bool) {
	text = bytes.TrimLeft(text, " \t")
	end := 0
	for end < len(text) && '0' <= text[end] && text[end] <= '9' {
		end++
	}
	n, err := strconv.ParseInt(string(text[:end]), 10, 64)
	return n, err == nil
}

// cString returns what C takes for the string.
func cString(data []byte) []byte {
	data, _, _ = bytes.Cut(data, []byte{0})
	return data
}

// recordWindow is the part of a queue file that has been read. One read of its
// size covers the envelope of an ordinary message.
type recordWindow struct {
	f     queueFile
	buf   []byte
	start int64 // offset of buf in the file
	n     int   // bytes of buf that are filled
}

const windowSize = 4 << 10

func (w *recordWindow) reset(f queueFile) {
	w.allocate()
	w.f, w.start, w.n = f, 0, f.head
}

// readNow reads the beginning of a file for the envelope that is read next,
// unless the kernel would have to fetch it, or cannot tell.
func (w *recordWindow) readNow(fd int) (length int, ok bool) {
	w.allocate()
	length, err := unix.Preadv2(fd, [][]byte{w.buf[:windowSize]}, 0, unix.RWF_NOWAIT)
	return length, err == nil
}

func (w *recordWindow) allocate() {
	if cap(w.buf) < windowSize {
		w.buf = make([]byte, windowSize)
	}
}

var errDamaged = errors.New("damaged record")

// record returns the record at an offset, and the offset of the next one. The
// data are valid until the next call; those of a record over 64 KiB are left
// out. The error is io.EOF at the end, errDamaged, or one of reading.
func (w *recordWindow) record(offset int64) (kind byte, data []byte, next int64, err error) {
	const maxHead = 1 + 4 // a type, and as many length bytes as rec_get reads
	head, err := w.bytes(offset, maxHead)
	if err != nil || len(head) == 0 {
		return 0, nil, 0, cmpOrEOF(err)
	}
	kind = head[0]
	length, shift, i := int64(0), 0, 1
	for {
		if i >= len(head) {
			return 0, nil, 0, errDamaged
		}
		length |= int64(head[i]&0x7f) << shift
		shift += 7
		i++
		if head[i-1]&0x80 == 0 {
			break
		}
	}
	begin := offset + int64(i)
	next = begin + length
	if next > w.f.sizeBytes {
		return 0, nil, 0, errDamaged
	}
	if length > maxRecord {
		return kind, nil, next, nil
	}
	data, err = w.bytes(begin, int(length))
	if err == nil && len(data) < int(length) {
		err = errDamaged // the file has become shorter
	}
	return kind, data, next, err
}

func cmpOrEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// bytes returns up to n bytes at an offset, fewer only at the end of the file.
func (w *recordWindow) bytes(offset int64, n int) ([]byte, error) {
	end := min(offset+int64(n), w.f.sizeBytes)
	if offset >= end {
		return nil, nil
	}
	if offset < w.start || end > w.start+int64(w.n) {
		if n > len(w.buf) {
			w.buf = make([]byte, maxRecord)
		}
		got, err := w.f.ReadAt(w.buf, offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		w.start, w.n = offset, got
		end = min(end, offset+int64(got))
	}
	return w.buf[offset-w.start : end-w.start], nil
}

// listedAddress returns an address of a queue file as postqueue lists it: the
// local part quoted where RFC 822 requires it, ? for each character that is
// not printable, and a name for the empty address.
func listedAddress(raw []byte) string {
	if len(raw) == 0 {
		return queue.NullSender
	}
	return printable(quote822(string(raw)))
}

// quote822 quotes the local part of an address as quote_822_local.c does. A
// source route before it stays as it is.
func quote822(address string) string {
	route, rest := "", address
	if strings.HasPrefix(address, "@") {
		if colon := strings.IndexByte(address, ':'); colon >= 0 {
			route, rest = address[:colon+1], address[colon+1:]
		}
	}
	local, domain := rest, ""
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		local, domain = rest[:at], rest[at:]
	}
	if isDotString(local) {
		return address
	}
	quoted := strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\r", "\\\r").Replace(local)
	return route + `"` + quoted + `"` + domain
}

func isDotString(local string) bool {
	if local == "" || local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, "..") {
		return false
	}
	for i := range len(local) {
		if c := local[i]; c <= ' ' || c == 0x7f || strings.IndexByte(`()<>@,;:\"[]`, c) >= 0 {
			return false
		}
	}
	return true
}

// printable replaces what printable.c of Postfix does: control characters, and
// bytes that are no UTF-8.
func printable(text string) string {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' {
			return strings.Map(func(r rune) rune {
				if r < ' ' || r == 0x7f || r == '\uFFFD' {
					return '?'
				}
				return r
			}, text)
		}
	}
	return text
}
