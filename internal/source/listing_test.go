package source

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/lines"
	"example.org/postfix-queue-monitor/internal/queue"
)

const listings = "../../testdata/listing"

// collect returns a visit function and the messages that it was called with.
func collect() (visit func(*queue.Message), visited *[]queue.Message) {
	var list []queue.Message
	return func(m *queue.Message) {
		clone := *m
		clone.Recipients = append([]queue.Recipient(nil), m.Recipients...)
		list = append(list, clone)
	}, &list
}

func TestParseJSON(t *testing.T) {
	const good = `{"queue_name": "hold", "queue_id": "4jYCn93P7fz1WMSp", "arrival_time": 1795455437, ` +
		`"message_size": 981, ` +
		`"forced_expire": true, "sender": "MAILER-DAEMON", "recipients": [{"address": "a@example.org"}]}` + "\n"
	goodMessage := queue.Message{
		Queue: queue.Hold, ID: "4jYCn93P7fz1WMSp", Arrival: time.Unix(1795455437, 0), SizeBytes: 981,
		ForcedExpire: true, Sender: "MAILER-DAEMON", Recipients: []queue.Recipient{{Address: "a@example.org"}},
	}
	salvaged := queue.Message{Queue: queue.Deferred, ID: "ABC", Arrival: time.Unix(5, 0), SizeBytes: 7}

	tests := []struct {
		name       string
		listing    string
		want       []queue.Message
		unreadable int64
		err        error
	}{
		{name: "empty"},
		{name: "one message", listing: good, want: []queue.Message{goodMessage}},
		{
			name:    "lines end as a terminal ends them",
			listing: strings.ReplaceAll(good, "\n", "\r\n"),
			want:    []queue.Message{goodMessage},
		},
		{name: "blank lines", listing: "\n" + good + "\n \n", want: []queue.Message{goodMessage}},
		{
			name: "unknown members, other order, no forced_expire",
			listing: `{"new": {"deep": [1, {"x": null}]}, "message_size": 7, "arrival_time": 5, "queue_id": "ABC", ` +
				`"queue_name": "deferred", ` +
				`"recipients": []}` + "\n",
			want: []queue.Message{salvaged},
		},
		{
			name: "recipients of 3.11: one has bounced, one has bounced and is tried again",
			listing: `{"queue_name": "deferred", "queue_id": "ABC", "arrival_time": 5, "message_size": 7, "sender": "s", ` +
				`"recipients": [` +
				`{"orig_address": "", "address": "gone@example.org", "bounce_reason": "unknown user"}, ` +
				`{"orig_address": "x", "address": "waits@example.org", "delay_reason": "later"}, ` +
				`{"address": "both@example.org", "delay_reason": "later", "bounce_reason": "no"}]}` + "\n",
			want: []queue.Message{{
				Queue: queue.Deferred, ID: "ABC", Arrival: time.Unix(5, 0), SizeBytes: 7, Sender: "s",
				Recipients: []queue.Recipient{
					{Address: "waits@example.org", Reason: "later"},
					{Address: "both@example.org", Reason: "later"},
				},
			}},
		},
		{
			name: "a broken escape in an address",
			listing: good + `{"queue_name": "deferred", "queue_id": "ABC", "arrival_time": 5, "message_size": 7, ` +
				`"forced_expire": false, "sender": "\u00"x@example.com", "recipients": [{"address": "b@example.org"}]}` + "\n",
			want: []queue.Message{goodMessage, salvaged}, unreadable: 1,
		},
		{
			name: "a raw control character in a recipient",
			listing: good + `{"queue_name": "deferred", "queue_id": "ABC", "arrival_time": 5, "message_size": 7, ` +
				`"recipients": [{"address": "` + "\x01" + `"}]}` + "\n",
			want: []queue.Message{goodMessage, salvaged}, unreadable: 1,
		},
		{
			name:       "a queue that is unknown",
			listing:    good + `{"queue_name": "x", "arrival_time": 5, "message_size": 7}` + "\n",
			want:       []queue.Message{goodMessage, {Arrival: time.Unix(5, 0), SizeBytes: 7}},
			unreadable: 1,
		},
		{
			name:       "no size",
			listing:    good + `{"queue_name": "hold", "arrival_time": 5}` + "\n",
			want:       []queue.Message{goodMessage, {Queue: queue.Hold, Arrival: time.Unix(5, 0)}},
			unreadable: 1,
		},
		{
			name:       "a size below zero",
			listing:    good + `{"queue_name": "hold", "arrival_time": 5, "message_size": -7}` + "\n",
			want:       []queue.Message{goodMessage, {Queue: queue.Hold, Arrival: time.Unix(5, 0)}},
			unreadable: 1,
		},
		{
			name:       "an object without any member",
			listing:    good + "{}\n",
			want:       []queue.Message{goodMessage, {}},
			unreadable: 1,
		},
		{
			name:       "no line can be parsed",
			listing:    "{x}\n{}\n",
			want:       []queue.Message{{}, {}},
			unreadable: 2,
			err:        errNoListing,
		},
		{name: "cut off inside a line", listing: good + good[:100], want: []queue.Message{goodMessage}, err: errCutOff},
		{name: "cut off before the last line's end", listing: good[:len(good)-1], err: errCutOff},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			visit, visited := collect()
			unreadable, err := parseJSON(strings.NewReader(tt.listing), visit)
			if unreadable != tt.unreadable || !errors.Is(err, tt.err) {
				t.Errorf("%d unreadable, error %v; want %d, %v", unreadable, err, tt.unreadable, tt.err)
			}
			if diff := cmp.Diff(tt.want, *visited); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseText(t *testing.T) {
	const header = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
	tests := []struct {
		name    string
		listing string
		want    []queue.Message
		err     string
	}{
		{name: "empty queue", listing: "Mail queue is empty\n"},
		{
			name: "marks, reasons before recipients, no final newline",
			listing: header +
				"D37FF9EA555*     3352 Mon Nov 23 17:37:12  a@example.com\n" +
				"                                         b@example.org\n\n" +
				"4jYCn93bFlz1WMT2!#      981 Mon Nov 23 17:37:17 \"a b\"@example.net\n" +
				"(host 127.0.0.1[127.0.0.1] said: 450 4.0.0 (-- 0 Kbytes in 0 Requests.) ) and ( (in reply to RCPT TO command))\n" +
				"                                               c@example.org\n" +
				"                                         (x)\n" +
				"                                               d@example.org\n" +
				"                                               e@example.org\n\n" +
				"BF7D49EA4C2*#      263 Mon Nov 23 17:37:12 MAILER-DAEMON\n" +
				"                                         f@example.org\n\n" +
				"-- 4 Kbytes in 3 Requests.",
			want: []queue.Message{
				{
					Queue:      queue.Active,
					ID:         "D37FF9EA555",
					SizeBytes:  3352,
					Sender:     "a@example.com",
					Recipients: []queue.Recipient{{Address: "b@example.org"}},
				},
				{
					Queue: queue.Hold, ID: "4jYCn93bFlz1WMT2", SizeBytes: 981, ForcedExpire: true, Sender: `"a b"@example.net`,
					Recipients: []queue.Recipient{
						{
							Address: "c@example.org",
							Reason: "host 127.0.0.1[127.0.0.1] said: 450 4.0.0 (-- 0 Kbytes in 0 Requests.) ) and ( (in reply to " +
								"RCPT TO command)",
						},
						{Address: "d@example.org", Reason: "x"}, {Address: "e@example.org", Reason: "x"},
					},
				},
				{
					Queue:        queue.Active,
					ID:           "BF7D49EA4C2",
					SizeBytes:    263,
					ForcedExpire: true,
					Sender:       "MAILER-DAEMON",
					Recipients:   []queue.Recipient{{Address: "f@example.org"}},
				},
			},
		},
		{
			name:    "one request",
			listing: header + "BF7D49EA4C2      263 Mon Nov 23 17:37:12 MAILER-DAEMON\n\n-- 0 Kbytes in 1 Request.\n",
			want:    []queue.Message{{ID: "BF7D49EA4C2", SizeBytes: 263, Sender: "MAILER-DAEMON"}},
		},
		{name: "nothing but a header", listing: header, err: errCutOff.Error()},
		{
			name:    "no summary",
			listing: header + "BF7D49EA4C2      263 Mon Nov 23 17:37:12 MAILER-DAEMON\n\n",
			want:    []queue.Message{{ID: "BF7D49EA4C2", SizeBytes: 263, Sender: "MAILER-DAEMON"}},
			err:     errCutOff.Error(),
		},
		{
			name:    "a message is missing",
			listing: header + "BF7D49EA4C2      263 Mon Nov 23 17:37:12 MAILER-DAEMON\n\n-- 0 Kbytes in 2 Requests.\n",
			want:    []queue.Message{{ID: "BF7D49EA4C2", SizeBytes: 263, Sender: "MAILER-DAEMON"}},
			err:     "the listing has 1 messages of 0 KiB, but its summary says 2 of 0 KiB: lines are missing; make it again",
		},
		{
			name:    "before 3.1 the summary has the sizes of files",
			listing: header + "BF7D49EA4C2     2047 Mon Nov 23 17:37:12 MAILER-DAEMON\n\n-- 2 Kbytes in 1 Request.\n",
			want:    []queue.Message{{ID: "BF7D49EA4C2", SizeBytes: 2047, Sender: "MAILER-DAEMON"}},
		},
		{
			name:    "up to 2.2 a long size touches the mark",
			listing: header + "BF7D49EA4C2*10087383 Mon Nov 23 17:37:12 MAILER-DAEMON\n\n-- 9854 Kbytes in 1 Request.\n",
			want:    []queue.Message{{Queue: queue.Active, ID: "BF7D49EA4C2", SizeBytes: 10087383, Sender: "MAILER-DAEMON"}},
		},
		{
			name:    "the messages are larger than the summary says",
			listing: header + "BF7D49EA4C2     2048 Mon Nov 23 17:37:12 MAILER-DAEMON\n\n-- 1 Kbytes in 1 Request.\n",
			want:    []queue.Message{{ID: "BF7D49EA4C2", SizeBytes: 2048, Sender: "MAILER-DAEMON"}},
			err:     "the listing has 1 messages of 2 KiB, but its summary says 1 of 1 KiB: lines are missing; make it again",
		},
		{
			name:    "a line that is not a message",
			listing: header + "postqueue: warning: something\n-- 0 Kbytes in 1 Request.\n",
			err:     "the listing has 0 messages of 0 KiB, but its summary says 1 of 0 KiB: lines are missing; make it again",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			visit, visited := collect()
			err := parseText(strings.NewReader(tt.listing), visit)
			if errorText(err) != tt.err {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, *visited); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

// JSON and text of a captured queue must agree on everything that the text says.
// This test reads every captured listing.
func TestCapturedListings(t *testing.T) {
	texts, err := filepath.Glob(filepath.Join(listings, "*", "*.txt"))
	if err != nil || len(texts) == 0 {
		t.Fatalf("no captured listings: %v", err)
	}
	for _, path := range texts {
		t.Run(filepath.Base(path), func(t *testing.T) {
			fromText, visitText := collectFile(t, path, parseText)
			jsonPath := strings.TrimSuffix(path, ".txt") + ".json"
			if _, err := os.Stat(jsonPath); err != nil {
				if strings.Contains(path, "empty") && len(visitText) == 0 {
					return // the JSON of an empty queue has no bytes
				}
				t.Fatal(err)
			}
			fromJSON, _ := collectFile(t, jsonPath, func(r io.Reader, visit func(*queue.Message)) error {
				unreadable, err := parseJSON(r, visit)
				if unreadable > 0 {
					t.Errorf("%d lines unreadable", unreadable)
				}
				return err
			})
			for i := range fromJSON {
				fromJSON[i].Arrival = time.Time{}
				if q := fromJSON[i].Queue; q != queue.Active && q != queue.Hold {
					fromJSON[i].Queue = ""
				}
			}
			if diff := cmp.Diff(fromJSON, fromText); diff != "" {
				t.Errorf("JSON and text differ (-json +text):\n%s", diff)
			}
		})
	}
}

func collectFile(
	t *testing.T, path string, parse func(io.Reader, func(*queue.Message)) error,
) (list, same []queue.Message) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	visit, visited := collect()
	if err := parse(bytes.NewReader(content), visit); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	// Small reads must not matter.
	visitAgain, again := collect()
	if err := parse(iotest.OneByteReader(bytes.NewReader(content)), visitAgain); err != nil {
		t.Fatalf("%s, byte by byte: %v", path, err)
	}
	if diff := cmp.Diff(*visited, *again); diff != "" {
		t.Fatalf("%s, byte by byte (-whole +bytes):\n%s", path, diff)
	}
	return *visited, *again
}

func TestCutOffAnywhere(t *testing.T) {
	buffered := bufio.NewReaderSize(nil, 4<<10) // one for all: thousands would be garbage
	for _, name := range []string{"mixed.json", "mixed.txt"} {
		content, err := os.ReadFile(filepath.Join(listings, "3.7.11", name))
		if err != nil {
			t.Fatal(err)
		}
		for end := range content {
			var err error
			if strings.HasSuffix(name, ".json") {
				if end == 0 || content[end-1] == '\n' {
					continue // a JSON listing has no end mark: this one is whole
				}
				buffered.Reset(bytes.NewReader(content[:end]))
				_, err = parseJSON(buffered, func(*queue.Message) {})
			} else {
				if end == len(content)-1 {
					continue // only the last newline is missing
				}
				buffered.Reset(bytes.NewReader(content[:end]))
				err = parseText(buffered, func(*queue.Message) {})
			}
			if err == nil {
				t.Errorf("%s cut off after %d of %d bytes passes for whole", name, end, len(content))
			}
		}
	}
}

func TestLineOver64MiBIsUnreadableAndPassedOver(t *testing.T) {
	const start = `{"queue_name": "hold", "queue_id": "ABC", "arrival_time": 5, "message_size": 7, "sender": "`
	const next = `{"queue_name": "hold", "arrival_time": 5, "message_size": 8}` + "\n"
	huge := io.MultiReader(strings.NewReader(start), io.LimitReader(repeat('x'), lines.MaxLength),
		strings.NewReader("\"}\n"+next))
	visit, visited := collect()
	unreadable, err := parseJSON(huge, visit)
	if unreadable != 1 || err != nil {
		t.Fatalf("%d unreadable, %v", unreadable, err)
	}
	want := []queue.Message{
		{Queue: queue.Hold, ID: "ABC", Arrival: time.Unix(5, 0), SizeBytes: 7},
		{Queue: queue.Hold, Arrival: time.Unix(5, 0), SizeBytes: 8},
	}
	if diff := cmp.Diff(want, *visited); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// repeat is a reader without end of one byte.
type repeat byte

func (b repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

func addListings(f *testing.F, pattern string) {
	paths, err := filepath.Glob(filepath.Join(listings, "*", pattern))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no captured listings: %v", err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
}

func FuzzParseJSON(f *testing.F) {
	addListings(f, "*.json")
	f.Fuzz(func(t *testing.T, listing []byte) {
		var visited, unreadable int64
		unreadable, err := parseJSON(bytes.NewReader(listing), func(m *queue.Message) {
			visited++
			if m.SizeBytes < 0 {
				t.Errorf("size %d", m.SizeBytes)
			}
		})
		lines := int64(0) // that are whole, and not of Postfix's diagnostics
		for line := range bytes.Lines(listing) {
			isWhole := bytes.HasSuffix(line, []byte("\n")) && len(bytes.Trim(line, blanks)) > 0
			if isWhole && !diagnosticLine().Match(line) {
				lines++
			}
		}
		if visited > lines || err == nil && visited != lines {
			t.Errorf("%d messages of %d whole lines, error %v", visited, lines, err)
		}
		if unreadable > visited || (err == nil && visited > 0 && unreadable == visited) {
			t.Errorf("%d of %d unreadable, error %v", unreadable, visited, err)
		}
		last := listing[bytes.LastIndexByte(listing, '\n')+1:]
		if len(bytes.Trim(last, blanks)) > 0 && !diagnosticLine().Match(last) && err == nil {
			t.Error("a line without its end passes for whole")
		}
	})
}

func FuzzParseText(f *testing.F) {
	addListings(f, "*.txt")
	f.Fuzz(func(t *testing.T, listing []byte) {
		var visited int64
		err := parseText(bytes.NewReader(listing), func(m *queue.Message) {
			visited++
			if m.SizeBytes < 0 || m.ID == "" {
				t.Errorf("message %+v", m)
			}
		})
		if err == nil && visited > 0 && !bytes.Contains(listing, []byte("Kbytes in ")) {
			t.Error("a listing without a summary passes for whole")
		}
	})
}

// A blank line before the header of a text listing is no reason to panic.
func TestTextAfterABlankLine(t *testing.T) {
	if err := parseText(strings.NewReader("\t\n"), func(*queue.Message) {}); err == nil {
		t.Error("no error")
	}
}

// parseJSON reads the output of postqueue -j. The error is errCutOff if the last line has no end.
func parseJSON(r io.Reader, visit func(*queue.Message)) (unreadable int64, err error) {
	p := listingParser{visit: visit, json: &jsonParser{visit: visit}}
	err = p.parse(r)
	return p.json.unreadable, err
}

// parseText reads the output of postqueue -p.
func parseText(r io.Reader, visit func(*queue.Message)) error {
	p := listingParser{visit: visit, text: &textParser{visit: visit}}
	return p.parse(r)
}
