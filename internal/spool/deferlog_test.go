package spool

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/lines"
	"example.org/postfix-queue-monitor/internal/queue"
)

func TestHashedPath(t *testing.T) {
	tests := []struct {
		id    string
		depth int
		want  string
	}{
		{"1C60B98409B", 0, "1C60B98409B"},
		{"1C60B98409B", 1, "1/1C60B98409B"},
		{"1C60B98409B", 2, "1/C/1C60B98409B"},
		{"4jY9bw2tYhz1SRtX", 2, "6/3/4jY9bw2tYhz1SRtX"},
		{"AB", 4, "A/B/_/_/AB"},
		{"4jY9bw!!!!z1SRtX", 1, "0/4jY9bw!!!!z1SRtX"},
	}
	for _, tt := range tests {
		if got := hashedPath(tt.id, tt.depth); got != tt.want {
			t.Errorf("%s at depth %d: %s, want %s", tt.id, tt.depth, got, tt.want)
		}
	}
}

func entries(t *testing.T, log string) []queue.Recipient {
	t.Helper()
	var got []queue.Recipient
	short := lines.NewReader(bufio.NewReaderSize(strings.NewReader(log), 16))
	if err := parseDeferLog(short, nil, nil, func(recipient, reason []byte) {
		got = append(got, queue.Recipient{Address: string(recipient), Reason: string(reason)})
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestParseDeferLog(t *testing.T) {
	tests := []struct {
		name, log string
		want      []queue.Recipient
	}{
		{name: "nothing"},
		{
			name: "two entries",
			log: "<a@example.com>: old text\nrecipient=a@example.com\noffset=70\nstatus=4.4.1\naction=delayed\n" +
				"reason=refused\n\nrecipient=b@example.com\nreason=late\n\n",
			want: []queue.Recipient{{Address: "a@example.com", Reason: "refused"}, {Address: "b@example.com", Reason: "late"}},
		},
		{
			name: "of an old version",
			log:  "<a@example.com>: refused > and: more\n\n",
			want: []queue.Recipient{{Address: "a@example.com", Reason: "refused > and: more"}},
		},
		{name: "an entry that is being written", log: "recipient=a@example.com\nreason=refu"},
		{
			name: "a reason with an equals sign, spaces and control characters",
			log:  "recipient = a@example.com\nreason =  name=x\x01 \n\n",
			want: []queue.Recipient{{Address: "a@example.com", Reason: "name=x?"}},
		},
		{
			name: "a reason counts for its own entry only",
			log:  "recipient=a@example.com\nreason=late\n\nrecipient=b@example.com\n\n",
			want: []queue.Recipient{
				{Address: "a@example.com", Reason: "late"},
				{Address: "b@example.com", Reason: noReason},
			},
		},
		{
			name: "without a reason, without an address",
			log:  "recipient=\n\nreason=lost\n\n",
			want: []queue.Recipient{{Address: nobody, Reason: noReason}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, entries(t, tt.log)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParseDeferLog(f *testing.F) {
	f.Add("recipient=a@example.com\nreason=refused\n\n<b@example.com>: late\n\n")
	f.Add("=\n<>: \n\n")
	f.Fuzz(func(t *testing.T, log string) {
		for _, r := range entries(t, log) {
			if r.Address == "" || r.Reason == "" || strings.ContainsAny(r.Address+r.Reason, "\n\x00\x1b") {
				t.Errorf("%q", r)
			}
		}
	})
}

// If a log has several entries for a recipient, the first counts.
func TestFirstReasonCounts(t *testing.T) {
	s := newSpool(t)
	log := "recipient=b@example.org\nreason=first\n\nrecipient=b@example.org\nreason=second\n\n"
	writeFile(t, filepath.Join(s.Dir, "defer/A/A1"), log, 0o600)
	if messages, _, err := readSpool(t, s); err != nil || messages["A1"] != "first" {
		t.Errorf("%v, %v", messages, err)
	}
}

// With smtputf8_enable=no, showq has a question mark for each byte that is not ASCII, in addresses and reasons. What
// has none does not ask for the setting.
func TestWithoutUTF8(t *testing.T) {
	s := newSpool(t)
	asked := 0
	s.UTF8 = func() bool { asked++; return false }
	writeFile(t, filepath.Join(s.Dir, "deferred/A/A2"), rec('S', "a\x01")+rec('R', "b")+rec('M', ""), 0o700)
	if _, _, err := readSpool(t, s); err != nil || asked != 0 {
		t.Errorf("asked %d times, %v", asked, err)
	}
	file := rec('T', "7 0") + rec('S', "\u00e4@example.com") + rec('R', "\u00f6@example.org") + rec('M', "")
	writeFile(t, filepath.Join(s.Dir, "deferred/A/A3"), file, 0o700)
	writeFile(t, filepath.Join(s.Dir, "defer/A/A3"), "recipient=??@example.org\nreason=\u00fc\x01\xfc\n\n", 0o600)
	_, err := s.Read(t.Context(), queue.WithReasons, func(m *queue.Message) {
		want := []queue.Recipient{{Address: "??@example.org", Reason: "????"}}
		if m.ID == "A3" && (m.Sender != "??@example.com" || !slices.Equal(m.Recipients, want)) {
			t.Errorf("%+v", m)
		}
	})
	if err != nil || asked == 0 {
		t.Errorf("asked %d times, %v", asked, err)
	}
}

// showq lists the recipients of the log first, also those that the queue file does not have.
func TestRecipientsOfTheLogAlone(t *testing.T) {
	s := newSpool(t)
	file := rec('T', "7 0") + rec('S', "s") + rec('R', "a") + rec('R', "b") + rec('R', "c")
	writeFile(t, filepath.Join(s.Dir, "deferred/A/A3"), file, 0o700)
	var log strings.Builder
	for _, recipient := range []string{"x", "c", "x", "a", "y", "c"} {
		fmt.Fprintf(&log, "recipient=%s\nreason=late for %[1]s\n\n", recipient)
	}
	writeFile(t, filepath.Join(s.Dir, "defer/A/A3"), log.String(), 0o600)
	_, err := s.Read(t.Context(), queue.WithReasons, func(m *queue.Message) {
		want := []queue.Recipient{
			{Address: "x", Reason: "late for x"}, {Address: "c", Reason: "late for c"},
			{Address: "a", Reason: "late for a"}, {Address: "y", Reason: "late for y"}, {Address: "b"},
		}
		if diff := cmp.Diff(want, m.Recipients); m.ID == "A3" && diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// A message of many recipients, and its log, are read to the end.
func TestLongDeferLog(t *testing.T) {
	const recipients = 3000
	s := newSpool(t)
	file, log := rec('T', "7 0")+rec('S', "a"), ""
	for i := range recipients {
		file += rec('R', fmt.Sprint(i))
		log += fmt.Sprintf("recipient=%d\nreason=late\n\n", i)
	}
	writeFile(t, filepath.Join(s.Dir, "deferred/A/A1"), file, 0o700)
	writeFile(t, filepath.Join(s.Dir, "defer/A/A1"), log, 0o600)
	_, err := s.Read(t.Context(), queue.WithReasons, func(m *queue.Message) {
		if n := len(m.Recipients); n != recipients || m.Recipients[n-1].Reason != "late" {
			t.Errorf("%d recipients, want %d, each with a reason", n, recipients)
		}
	})
	if err != nil {
		t.Error(err)
	}
	// It is not read on when the time is up.
	entries := 0
	stopped := func() bool { return true }
	err = parseDeferLog(lines.NewReader(strings.NewReader(log)), nil, stopped, func(_, _ []byte) { entries++ })
	if err != nil || entries == 0 || entries >= recipients {
		t.Errorf("%d of %d entries, %v", entries, recipients, err)
	}
}

// Logs are found whether or not they lie as deep as the message, at first and afterwards.
func TestDeferLogsOfAnyDepth(t *testing.T) {
	const id = "1C60B98409B"
	for depth := range maxHashDepth + 1 {
		for _, depthOfMessage := range []int{0, 1, 2, 5} {
			dir := t.TempDir()
			log := filepath.Join(dir, hashedPath(id, depth))
			if err := os.MkdirAll(filepath.Dir(log), 0o700); err != nil {
				t.Fatal(err)
			}
			writeFile(t, log, "recipient=b@example.com\nreason=late\n\nrecipient=a@example.com\nreason=refused\n\n", 0o600)
			fd, err := openQueueDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			logs := newDeferLogs(fd, envelopeRules{})
			for _, round := range []string{"first", "second"} {
				m := queue.Message{
					ID:         id,
					Recipients: []queue.Recipient{{Address: "a@example.com"}, {Address: "b@example.com"}, {Address: "c@example.com"}},
				}
				opened, err := logs.open(m.ID, depthOfMessage)
				if err != nil {
					t.Fatal(err)
				}
				err = logs.addReasons(&m, opened)
				opened.close()
				if err != nil {
					t.Fatalf("depth %d, message at %d: %v", depth, depthOfMessage, err)
				}
				want := []queue.Recipient{
					{Address: "b@example.com", Reason: "late"},
					{Address: "a@example.com", Reason: "refused"},
					{Address: "c@example.com"},
				}
				if diff := cmp.Diff(want, m.Recipients); diff != "" || logs.lastDepth != depth {
					t.Errorf("depth %d, message at %d, %s time (-want +got):\n%s", depth, depthOfMessage, round, diff)
				}
			}
			if opened, err := logs.open("2222222222", depthOfMessage); opened.isOpen() || err != nil {
				t.Errorf("depth %d: a log that is not there: %v", depth, err)
			}
			fd.close()
		}
	}
	if dir, err := openQueueDir(filepath.Join(t.TempDir(), "defer")); dir.isOpen() || err != nil {
		t.Errorf("a directory that is not there: %v, %v", dir, err)
	}
}

// An error names the file that it is of, the log or the queue file.
func TestErrorsNameTheirFile(t *testing.T) {
	broken := newHashedFiles(queueDir{descriptor: noFile, path: "/spool/defer"})
	_, err := broken.open("A1B2C3D", usualHashDepth)
	dir := &walkDir{pendingDir: pendingDir{path: "/spool/deferred/A"}}
	for want, err := range map[string]error{
		"cannot read /spool/defer/A/A1B2C3D: bad file descriptor":    dir.explain("A1B2C3D", err),
		"cannot read /spool/deferred/A/A1B2C3D: bad file descriptor": dir.explain("A1B2C3D", unix.EBADF),
	} {
		if err.Error() != want || !errors.Is(err, unix.EBADF) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
