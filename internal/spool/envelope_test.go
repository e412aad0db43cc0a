package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/queue"
)

// rec is a record of a queue file.
func rec(kind byte, data string) string {
	b := []byte{kind}
	for n := len(data); ; {
		low := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			low |= 0x80
		}
		b = append(b, low)
		if n == 0 {
			return string(b) + data
		}
	}
}

func sizeRec(size, recipients int) string {
	return rec('C', fmt.Sprintf("%15d %15d %15d %15d %15d %15d", size, 500, recipients, 0, size, 0))
}

func read(content string, rules envelopeRules) (queue.Message, bool) {
	var w recordWindow
	var m queue.Message
	f := queueFile{ReaderAt: strings.NewReader(content), sizeBytes: int64(len(content)), modified: time.Unix(99, 0)}
	ok, err := w.readEnvelope(f, rules, &m)
	return m, ok && err == nil
}

func addresses(m queue.Message) string {
	var list []string
	for _, r := range m.Recipients {
		list = append(list, r.Address)
	}
	return strings.Join(list, " ")
}

func TestReadEnvelope(t *testing.T) {
	head := sizeRec(50, 2) + rec('T', "1234 567890") + rec('A', "rewrite_context=local") + rec('S', "a@example.com")
	content := rec('N', strings.Repeat("x", 48)) // 50 bytes with its head
	tests := []struct {
		name       string
		file       string
		rules      envelopeRules
		none       bool // it is not a message
		arrival    int64
		size       int64
		sender     string
		recipients string
	}{
		{
			name: "ordinary",
			file: head + rec('O', "b@example.org") + rec('R', "b@example.org") + rec('R', "c@example.org") + rec('M', "") +
				content + rec('X', "") + rec('E', ""),
			arrival: 1234, size: 50, sender: "a@example.com", recipients: "b@example.org c@example.org",
		},
		{
			name: "one of two is done",
			file: head + rec('D', "b@example.org") + rec('R', "c@example.org") + rec('M', "") + content +
				rec('R', "never@example.org"),
			arrival: 1234, size: 50, sender: "a@example.com", recipients: "c@example.org",
		},
		{
			name: "a recipient behind the content",
			file: head + rec('R', "b@example.org") + rec('M', "") + content + rec('X', "") + rec('R', "c@example.org") +
				rec('E', "") + rec('R', "never@example.org"),
			arrival: 1234, size: 50, sender: "a@example.com", recipients: "b@example.org c@example.org",
		},
		{
			name: "if the count cannot be trusted, recipients behind the content are read, too",
			file: sizeRec(50, 1) + rec('S', "") + rec('R', "b@example.org") + rec('M', "") + content + rec('X', "") +
				rec('R', "c@example.org") + rec('E', ""),
			rules:   envelopeRules{readAll: true},
			arrival: 99, size: 50, sender: "MAILER-DAEMON", recipients: "b@example.org c@example.org",
		},
		{
			name: "maildrop: no size record, the content is read through",
			file: rec('T', "7 0") + rec('S', "a") + rec('M', "") + rec('N', "R\x05hello") + rec('N', "") + rec('X', "") +
				rec('R', "b@example.org") + rec('E', ""),
			rules:   envelopeRules{sizeCounts: func() bool { return false }, readAll: true},
			arrival: 7, size: 40, sender: "a", recipients: "b@example.org",
		},
		{
			name: "maildrop: the size record of an earlier life",
			file: sizeRec(50, 1) + rec('T', "7 0") + rec('S', "a") + rec('R', "b") + rec('M', "") + rec('N', "x") +
				rec('X', "") + rec('E', ""),
			rules:   envelopeRules{sizeCounts: func() bool { return false }, readAll: true},
			arrival: 7, size: 117, sender: "a", recipients: "b",
		},
		{
			name: "a second size and a second time do not count",
			file: sizeRec(50, 1) + sizeRec(60, 1) + rec('T', "7 0") + rec('T', "8 0") + rec('S', "a") + rec('R', "b") +
				rec('M', ""),
			arrival: 7, size: 50, sender: "a", recipients: "b",
		},
		{
			name:    "a malformed size is the file's",
			file:    rec('C', "  50 x") + rec('T', "7") + rec('S', "a") + rec('R', "b"),
			arrival: 7, size: 17, sender: "a", recipients: "b",
		},
		{
			name: "a size record of one number does not count recipients",
			file: rec('C', "  50") + rec('S', "a") + rec('R', "b") + rec('M', "") + rec('N', strings.Repeat("x", 48)) +
				rec('X', "") + rec('R', "c"),
			arrival:    99,
			size:       50,
			sender:     "a",
			recipients: "b c",
		},
		{
			name:       "a second sender ends it",
			file:       rec('T', "7") + rec('S', "a") + rec('R', "b") + rec('S', "c") + rec('R', "d"),
			arrival:    7,
			size:       15,
			sender:     "a",
			recipients: "b",
		},
		{
			name: "padding and place holders",
			file: rec('w', "xxx") + rec('p', "0000000") + rec('T', "7") + rec('S', "a") + rec('w', "R\x01") +
				rec('R', "b"),
			arrival:    7,
			size:       27,
			sender:     "a",
			recipients: "b",
		},
		{
			name:       "damage behind the sender",
			file:       rec('T', "7") + rec('S', "a") + rec('R', "b") + "R\x7fx",
			arrival:    7,
			size:       12,
			sender:     "a",
			recipients: "b",
		},
		{
			name:       "a NUL ends an address",
			file:       rec('S', "a\x00b") + rec('R', "c\x00d"),
			arrival:    99,
			size:       10,
			sender:     "a",
			recipients: "c",
		},
		{
			name:       "a large record is passed over",
			file:       rec('A', strings.Repeat("x", 100<<10)) + rec('S', "a") + rec('R', "b"),
			arrival:    99,
			size:       102410,
			sender:     "a",
			recipients: "b",
		},
		{
			name:       "an envelope longer than one read",
			file:       rec('A', strings.Repeat("x", 4090)) + rec('S', "a") + rec('R', strings.Repeat("y", 5000)),
			arrival:    99,
			size:       9099,
			sender:     "a",
			recipients: strings.Repeat("y", 5000),
		},
		{
			name:       "a time that is too large",
			file:       rec('T', "9223372036854775807") + rec('S', "a") + rec('R', "b"),
			arrival:    253402300799,
			size:       27,
			sender:     "a",
			recipients: "b",
		},
		{
			name:       "a content longer than any file",
			file:       rec('C', "9223372036854775807") + rec('S', "a") + rec('R', "b") + rec('M', "") + rec('R', "c"),
			arrival:    99,
			size:       1<<63 - 1,
			sender:     "a",
			recipients: "b",
		},
		{
			name:       "a pointer farther than any file",
			file:       rec('S', "a") + rec('R', "b") + rec('p', "9223372036854775807"),
			arrival:    99,
			size:       27,
			sender:     "a",
			recipients: "b",
		},
		{name: "empty file", file: "", none: true},
		{name: "no sender", file: rec('T', "7") + rec('M', ""), none: true},
		{name: "a recipient before the sender", file: rec('R', "b") + rec('S', "a"), none: true},
		{name: "damage before the sender", file: rec('T', "7") + "S\x7fx", none: true},
		{name: "a length without end", file: "S\xff\xff\xff\xff\xff\xff", none: true},
		{name: "garbage", file: "hello, world", none: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, ok := read(tt.file, tt.rules)
			if ok == tt.none {
				t.Fatalf("is a message: %v", ok)
			}
			if tt.none {
				return
			}
			if m.Arrival.Unix() != tt.arrival || m.SizeBytes != tt.size || m.Sender != tt.sender ||
				addresses(m) != tt.recipients {
				t.Errorf("arrival %d, size %d, sender %s, recipients %s", m.Arrival.Unix(), m.SizeBytes, m.Sender, addresses(m))
			}
		})
	}
}

// A milter moves the sender and recipients behind the content: pointers lead
// there and back.
func TestReadEnvelopeFollowsPointers(t *testing.T) {
	const pointer = 2 + 15 // length of a pointer record
	head := sizeRec(50, 2) + rec('T', "7 0")
	afterSender := len(head) + pointer
	elsewhere := afterSender + len(rec('R', "b")) + pointer + len(rec('M', ""))
	moved := rec('S', "new@example.com") + rec('p', fmt.Sprintf("%15d", afterSender))
	movedRecipient := elsewhere + len(moved)
	file := head + rec('p', fmt.Sprintf("%15d", elsewhere)) +
		rec('R', "b") + rec('p', fmt.Sprintf("%15d", movedRecipient)) + rec('M', "") +
		moved + rec('R', "c") + rec('p', fmt.Sprintf("%15d", elsewhere-len(rec('M', ""))))
	m, ok := read(file, envelopeRules{})
	if !ok || m.Sender != "new@example.com" || addresses(m) != "b c" || m.SizeBytes != 50 {
		t.Errorf("%v, %+v", ok, m)
	}
}

func TestReadEnvelopeEndsLoops(t *testing.T) {
	file := rec('S', "a") + rec('R', "b") + rec('p', "3")
	m, ok := read(file, envelopeRules{})
	if !ok || len(m.Recipients) < 2 || len(m.Recipients) > windowSize {
		t.Errorf("%v, %d recipients", ok, len(m.Recipients))
	}
}

// Reading a sparse file takes no longer than reading another one.
func TestReadEnvelopeOfASparseFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sparse")
	if err := os.WriteFile(path, []byte(rec('T', "7 0")+rec('S', "a")+rec('R', "b")), 0o600); err != nil {
		t.Fatal(err)
	}
	const size = 1 << 36
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var w recordWindow
	var m queue.Message
	if ok, err := w.readEnvelope(queueFile{
		ReaderAt:  f,
		sizeBytes: size,
		modified:  time.Unix(99, 0),
	}, envelopeRules{readAll: true}, &m); !ok || err != nil || addresses(m) != "b" {
		t.Errorf("%v, %v, %+v", ok, err, m)
	}
}

// Reading stops between many records, and between long ones.
func TestReadEnvelopeStops(t *testing.T) {
	for name, file := range map[string]string{
		"many": rec('S', "a") + strings.Repeat(rec('R', "b"), 5000),
		"long": rec('S', "a") + strings.Repeat(rec('R', strings.Repeat("b", 60<<10)), 100),
	} {
		var w recordWindow
		var m queue.Message
		ok, err := w.readEnvelope(queueFile{
			ReaderAt:  strings.NewReader(file),
			sizeBytes: int64(len(file)),
			modified:  time.Unix(99, 0),
		}, envelopeRules{stopped: func() bool { return true }}, &m)
		if !ok || err != nil || len(m.Recipients) == 0 || len(m.Recipients) > 2000 || len(addresses(m)) > 1<<20 {
			t.Errorf("%s: %v, %v, %d recipients", name, ok, err, len(m.Recipients))
		}
	}
}

// Addresses that go round in circles do not fill the memory.
func TestReadEnvelopeBoundsAddresses(t *testing.T) {
	text := rec('S', "a") + rec('R', strings.Repeat("b", 60<<10)) + rec('p', "3")
	// A large file may be read for long. Nothing behind the pointer is.
	f := queueFile{ReaderAt: strings.NewReader(text), sizeBytes: 100 << 20, modified: time.Unix(99, 0)}
	var w recordWindow
	var m queue.Message
	ok, err := w.readEnvelope(f, envelopeRules{}, &m)
	total := len(addresses(m))
	if !ok || err != nil || !m.Truncated || total < maxAddresses || total > maxAddresses+64<<10 {
		t.Errorf("%v, %v, %d bytes of addresses, truncated: %v", ok, err, total, m.Truncated)
	}
}

// A message with more recipients than are read says so, and one with just as many does not.
func TestReadEnvelopeBoundsRecipients(t *testing.T) {
	for _, n := range []int{maxRecipients, maxRecipients + 1} {
		m, ok := read(sizeRec(1, n)+rec('S', "a")+strings.Repeat(rec('R', "b"), n), envelopeRules{})
		if !ok || len(m.Recipients) != maxRecipients || m.Truncated != (n > maxRecipients) {
			t.Errorf("%d: %v, %d recipients, truncated: %v", n, ok, len(m.Recipients), m.Truncated)
		}
	}
}

// Records that go round in circles cost no more than reading the file twice.
func TestReadEnvelopeBoundsReading(t *testing.T) {
	text := rec('S', "a") + strings.Repeat(rec('A', strings.Repeat("x", 60<<10)), 10) + rec('p', "3")
	counted := &countedReads{ReaderAt: strings.NewReader(text)}
	f := queueFile{ReaderAt: counted, sizeBytes: int64(len(text)), modified: time.Unix(99, 0)}
	var w recordWindow
	var m queue.Message
	if ok, err := w.readEnvelope(f, envelopeRules{}, &m); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	if limit := 3 * 2 * 10; counted.n > limit { // two for each record, and one round more
		t.Errorf("%d reads, want at most %d", counted.n, limit)
	}
}

// countedReads counts the calls of ReadAt.
type countedReads struct {
	io.ReaderAt
	n int
}

func (c *countedReads) ReadAt(p []byte, offset int64) (int, error) {
	c.n++
	return c.ReaderAt.ReadAt(p, offset)
}

// A disk that fails in the middle of a message does not make the message vanish.
func TestReadEnvelopeFails(t *testing.T) {
	head := rec('T', "7 0") + rec('S', "a") + rec('R', "b")
	for name, readable := range map[string]int{"at the start": 0, "behind the sender": len(head)} {
		var w recordWindow
		var m queue.Message
		f := queueFile{ReaderAt: &failingDisk{head, readable}, sizeBytes: 100_000, modified: time.Unix(99, 0)}
		if ok, err := w.readEnvelope(f, envelopeRules{}, &m); ok || !errors.Is(err, unix.EIO) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
}

// failingDisk returns the beginning of a text, and fails behind it.
type failingDisk struct {
	text     string
	readable int
}

func (d *failingDisk) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= int64(d.readable) {
		return 0, unix.EIO
	}
	return copy(p, d.text[offset:d.readable]), nil
}

func TestListedAddress(t *testing.T) {
	tests := map[string]string{
		"":                           "MAILER-DAEMON",
		"a@example.org":              "a@example.org",
		"a b@example.org":            `"a b"@example.org`,
		`q"x\@example.org`:           `"q\"x\\"@example.org`,
		"a@b@example.org":            `"a@b"@example.org`,
		".a@example.org":             `".a"@example.org`,
		"a..b@example.org":           `"a..b"@example.org`,
		"@example.org":               `""@example.org`,
		"local":                      "local",
		"two words":                  `"two words"`,
		"@relay.example:a@b.c":       "@relay.example:a@b.c",
		"@relay.example:a b@b.c":     `@relay.example:"a b"@b.c`,
		"tab\there@example.org":      `"tab?here"@example.org`,
		"m\xfcller@example.org":      "m?ller@example.org",
		"m\u00fcller@example.org":    "m\u00fcller@example.org",
		"(comment)|pipe@example.org": `"(comment)|pipe"@example.org`,
	}
	for raw, want := range tests {
		if got := utf8Setting(nil).listedAddress([]byte(raw)); got != want {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	}
}

func TestSizeRecordCounts(t *testing.T) {
	tests := map[string]bool{
		"3.7.11": true, "3.7.16": true, "3.7.17": false, "3.8.11": true, "3.8.12": false, "3.9.6": false, "3.9.5": true,
		"3.10.4":        true,
		"3.10.5":        false,
		"3.11.0":        false,
		"3.12-20260821": false,
		"3.6.99":        true,
		"2.11.3":        true,
		"4.0.0":         false,
		"":              false, "x.y": false, "3": false,
	}
	for version, want := range tests {
		if got := sizeRecordCounts(version); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}

// An ordinary message, as smtpd(8) and cleanup(8) write it.
func BenchmarkReadEnvelope(b *testing.B) {
	attributes := func(list ...string) (records string) {
		for _, a := range list {
			records += rec('A', a)
		}
		return records
	}
	file := sizeRec(3000, 1) + rec('T', "1795454099 123456") +
		attributes("rewrite_context=remote", "log_ident=4jY9bw2tYhz1SRtX", "sasl_method=") +
		rec('S', "sender@example.com") +
		attributes(
			"log_client_name=localhost", "log_client_address=127.0.0.1", "log_client_port=54321",
			"log_helo_name=mail.example.org", "log_message_origin=localhost[127.0.0.1]", "log_protocol_name=ESMTP",
			"client_name=localhost", "reverse_client_name=localhost", "client_address=127.0.0.1", "client_port=54321",
			"server_address=127.0.0.1", "server_port=25", "helo_name=mail.example.org", "protocol_name=ESMTP",
			"client_address_type=2", "dsn_orig_rcpt=rfc822;b@example.org",
		) +
		rec('O', "b@example.org") + rec('R', "b@example.org") + rec('p', "              0") + rec('M', "") +
		strings.Repeat(rec('N', strings.Repeat("x", 70)), 40)
	f := queueFile{ReaderAt: strings.NewReader(file), sizeBytes: int64(len(file)), modified: time.Unix(99, 0)}
	var w recordWindow
	var m queue.Message
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := w.readEnvelope(f, envelopeRules{}, &m); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func FuzzReadEnvelope(f *testing.F) {
	f.Add([]byte(sizeRec(50, 1)+rec('T', "7 0")+rec('S', "a")+rec('R', "b")+rec('M', "")), false)
	f.Add([]byte(rec('S', "a")+rec('p', "3")), true)
	f.Fuzz(func(t *testing.T, content []byte, maildrop bool) {
		var w recordWindow
		var m queue.Message
		file := queueFile{ReaderAt: bytes.NewReader(content), sizeBytes: int64(len(content)), modified: time.Unix(99, 0)}
		ok, err := w.readEnvelope(file, envelopeRules{sizeCounts: func() bool { return !maildrop }, readAll: maildrop}, &m)
		if err != nil || m.SizeBytes < 0 || (ok && m.Arrival.IsZero()) {
			t.Errorf("%v, message %+v", err, m)
		}
	})
}

// A message expires by when it was made, which a requeue sets anew, and a bounce by the shorter lifetime.
func TestExpiring(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	s := Spool{Lifetimes: func() (Lifetimes, error) { return Lifetimes{100 * time.Hour, 10 * time.Hour}, nil }}
	sender, bounce := rec('S', "a@example.com"), rec('S', "")
	arrived := func(ago time.Duration) string { return rec('T', fmt.Sprint(now.Add(-ago).Unix(), " 0")) }
	made := func(ago time.Duration) string { return rec('A', fmt.Sprint("create_time=", now.Add(-ago).Unix())) }
	tests := []struct {
		name, file string
		want       bool
	}{
		{"new", arrived(0) + made(0) + sender, false},
		{"a fifth of the lifetime left", arrived(0) + made(80*time.Hour) + sender, false},
		{"less", arrived(0) + made(80*time.Hour+time.Second) + sender, true},
		{"long past it", arrived(0) + made(200*time.Hour) + sender, true},
		{"requeued", arrived(200*time.Hour) + made(time.Hour) + sender, false},
		{"no time but that of arrival", arrived(90*time.Hour) + sender, true},
		{"the attribute among others", arrived(0) + rec('A', "a=b") + made(90*time.Hour) + rec('A', "c=d") + sender, true},
		{"nonsense", arrived(0) + rec('A', "create_time=soon") + sender, false},
		{"a long record", arrived(0) + rec('A', strings.Repeat("x", 5000)) + made(90*time.Hour) + sender, true},
		{"a bounce", arrived(0) + made(8*time.Hour) + bounce, false},
		{"an old bounce", arrived(0) + made(9*time.Hour) + bounce, true},
		{"a bounce is kept no longer than mail", arrived(0) + made(9*time.Hour) + sender, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, ok := read(sizeRec(50, 1)+tt.file+rec('R', "b@example.org"), envelopeRules{expires: s.expires(now)})
			if !ok || m.Expiring != tt.want {
				t.Errorf("%v, a message: %v", m.Expiring, ok)
			}
			if m, _ := read(sizeRec(50, 1)+tt.file, envelopeRules{}); m.Expiring {
				t.Error("without a rule")
			}
		})
	}
	long := Spool{Lifetimes: func() (Lifetimes, error) { return Lifetimes{1000 * time.Hour, 2000 * time.Hour}, nil }}
	if expires := long.expires(now); expires(now.Add(-976*time.Hour), true) || !expires(now.Add(-977*time.Hour), true) {
		t.Error("of a long lifetime the last day counts")
	}
}

// The attributes are between others, before and after the sender.
func TestLoginAndClient(t *testing.T) {
	head := sizeRec(50, 1) + rec('T', "7 0") + rec('A', "rewrite_context=remote") + rec('A', "sasl_method=PLAIN")
	end := rec('R', "b@example.org")
	login, client := rec('A', "sasl_username=anna@example.com"), rec('A', "log_client_address=192.0.2.1")
	tests := []struct{ name, file, login, client string }{
		{"both", head + login + rec('S', "a") + rec('A', "log_client_name=x") + client + rec('A', "log_client_port=1") + end,
			"anna@example.com", "192.0.2.1"},
		{"a local message", head + rec('S', "a") + end, "", ""},
		{"names alone", head + rec('A', "sasl_username") + rec('S', "a") + rec('A', "log_client_address=") + end, "", ""},
		{"of a filter", head + rec('S', "a") + rec('A', "client_address=192.0.2.9") + client + end, "", "192.0.2.1"},
		{"any text", head + rec('A', "sasl_username=a b\x01\xff\x00c") + rec('S', "a") + end, "a b\x01\xff", ""},
	}
	var w recordWindow
	var m queue.Message // used again for each, as in a reading
	for _, tt := range tests {
		f := queueFile{ReaderAt: strings.NewReader(tt.file), sizeBytes: int64(len(tt.file)), modified: time.Unix(99, 0)}
		ok, err := w.readEnvelope(f, envelopeRules{}, &m)
		if !ok || err != nil || m.Login != tt.login || m.Client != tt.client {
			t.Errorf("%s: %q and %q, %v, %v", tt.name, m.Login, m.Client, ok, err)
		}
	}
}
