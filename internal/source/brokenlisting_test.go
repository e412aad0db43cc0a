package source

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.org/postfix-queue-monitor/internal/queue"
)

const (
	jsonOne = `{"queue_name": "deferred", "queue_id": "A1", "arrival_time": 5, "message_size": 522, ` +
		`"forced_expire": false, "sender": "a@example.com", "recipients": [{"address": "b@example.org"}]}` + "\n"
	textHead = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
	textOne  = "BF7D49EA4C2      284 Tue Aug  9 06:21:58  root\n                                         b@example.org\n\n"
	textEnd  = "-- 0 Kbytes in 1 Request.\n"
	down     = "postqueue: warning: Mail system is down -- accessing queue directly" +
		" (Connect to the Postfix showq service: No such file or directory)\n"
	fatal = "postqueue: fatal: Queue report unavailable - mail system is down\n"
)

// What does not belong to a listing makes it broken: something else may be missing. Whole lines count all the same.
func TestBrokenListings(t *testing.T) {
	const isDown = "Connect to the Postfix showq service: No such file or directory"
	tests := []struct {
		name     string
		input    string
		messages int64
		down     string
		want     string // part of the error; none if it is empty
	}{
		{name: "JSON", input: jsonOne + jsonOne, messages: 2},
		{name: "text", input: textHead + textOne + textEnd, messages: 1},
		{name: "text without the last newline", input: textHead + textOne + strings.TrimSpace(textEnd), messages: 1},

		{name: "JSON, then fatal", input: jsonOne + "postqueue: fatal: malformed showq server response\n", messages: 1,
			want: "the listing is not whole, Postfix says: postqueue: fatal: malformed showq server response"},
		{name: "JSON, fatal within", input: jsonOne + "postqueue: fatal: x\n" + jsonOne, messages: 2, want: "Postfix says"},
		{
			name: "text of an empty queue, then fatal", input: textEmpty + "\n" + fatal,
			want: "the listing is not whole, Postfix says",
		},
		{name: "text, then fatal", input: textHead + textOne + textEnd + fatal, messages: 1, want: "Postfix says"},
		{name: "fatal, then text", input: fatal + textHead + textOne + textEnd, messages: 1, want: "Postfix says"},

		{
			name: "JSON, line ends missing", input: jsonOne + strings.TrimSpace(jsonOne) + jsonOne + jsonOne, messages: 2,
			want: "line 2 is not part of the listing",
		},
		{
			name: "JSON, half a line and the next behind it", input: jsonOne + jsonOne[:40] + jsonOne + jsonOne, messages: 2,
			want: "line 2 is not part of the listing",
		},
		{
			name: "JSON, an address like a message", messages: 1,
			input: strings.Replace(jsonOne, "a@example.com", `{\"queue_name\"`, 1),
		},

		{name: "warning, then JSON", input: "postqueue: warning: x\n" + jsonOne, messages: 1},
		{name: "warning within text", input: textHead + textOne + "postqueue: warning: x\n" + textEnd, messages: 1},
		{name: "down, then JSON", input: down + jsonOne, messages: 1, down: isDown},
		{name: "down, then nothing", input: down, down: isDown},
		{name: "down, then text", input: down + textHead + textOne + textEnd, messages: 1, down: isDown},
		{name: "down, then text of an empty queue", input: down + textEmpty + "\n", down: isDown},

		{name: "nothing but fatal: down", input: fatal, down: "reason unknown", want: "mail system is down"},
		{
			name:  "nothing but fatal: denied",
			input: "postqueue: fatal: User nagios(112) is not allowed to view the mail queue\n",
			want:  "user nagios is not allowed to view the mail queue; as root, on the host of the listing: add nagios",
		},
		{name: "nothing but fatal", input: "postqueue: fatal: the moon\n", want: "Postfix says: postqueue: fatal: the moon"},
		{name: "sendmail's words", input: "sendmail: fatal: usage\n", want: "Postfix says: sendmail: fatal: usage"},

		{name: "a banner before JSON", input: "Welcome\n" + jsonOne, messages: 1, want: "not the output of postqueue"},
		{name: "a banner after JSON", input: jsonOne + "Bye\n", messages: 1, want: "line 2 is not part of the listing: Bye"},
		{
			name: "a banner within JSON", input: jsonOne + "x\n" + jsonOne,
			messages: 2, want: "line 2 is not part of the listing: x",
		},
		{
			name: "half a line within JSON", input: jsonOne + jsonOne[:40] + "\n" + jsonOne,
			messages: 2, want: "line 2 is not part",
		},
		{
			name: "the other half within JSON", input: jsonOne + jsonOne[40:] + jsonOne,
			messages: 2, want: "line 2 is not part",
		},
		{name: "text within JSON", input: jsonOne + textHead + textOne + textEnd, messages: 1, want: "line 2 is not part"},
		{name: "JSON within text", input: textHead + textOne + jsonOne + textEnd, messages: 1, want: "line 5 is not part"},
		{
			name: "a banner within text", input: textHead + "Hello\n" + textOne + textEnd,
			messages: 1, want: "line 2 is not part",
		},
		{name: "a banner after text", input: textHead + textOne + textEnd + "x\n", messages: 1, want: "line 6 is not part"},
		{
			name: "two texts", input: textHead + textOne + textEnd + textHead + textOne + textEnd,
			messages: 1, want: "line 6 is not part",
		},
		{name: "two empty texts", input: textEmpty + "\n" + textEmpty + "\n", want: "line 2 is not part"},
		{
			name: "an empty text, then a text", input: textEmpty + "\n" + textHead + textOne + textEnd,
			want: "line 2 is not part",
		},
		{name: "a recipient without its message", input: textHead + "      b@example.org\n" + textOne + textEnd, messages: 1,
			want: "line 2 is not part"},

		{name: "an array", input: "[" + strings.TrimSpace(jsonOne) + "]\n", want: "jq -c .[]"},
		{name: "an indented object", input: "{\n  \"queue_name\": \"deferred\"\n}\n", want: "jq -c ."},
		{
			name: "another file", input: "root:x:0:0:root:/root:/bin/bash\n",
			want: "the input is not the output of postqueue -j or postqueue -p",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := queue.Summarize(t.Context(), &listing{r: strings.NewReader(tt.input)}, queue.Query{})
			switch {
			case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want one with %q", err, tt.want)
			case err != nil && strings.Contains(err.Error(), "root:x"):
				t.Errorf("the error quotes the file: %v", err)
			}
			if s.Total.Messages != tt.messages || s.Down != tt.down {
				t.Errorf("%d messages, down %q; want %d, %q", s.Total.Messages, s.Down, tt.messages, tt.down)
			}
		})
	}
}

// Endless rubbish is given up like rubbish that ends.
func TestEndlessRubbish(t *testing.T) {
	for name, line := range map[string]string{"objects": "{x}\n", "half objects": "{x\n", "words": "x\n"} {
		t.Run(name, func(t *testing.T) {
			input := &limited{text: line, lines: 1 << 20}
			s, err := queue.Summarize(t.Context(), &listing{r: input}, queue.Query{})
			if err == nil || s.Total.Messages > s.Unreadable {
				t.Errorf("%d messages, %d unreadable, %v", s.Total.Messages, s.Unreadable, err)
			}
		})
	}
	s, err := queue.Summarize(t.Context(), &listing{r: &repeating{"{x}\n"}}, queue.Query{})
	if !errors.Is(err, errNoListing) || s.Unreadable != hopeless {
		t.Errorf("%d unreadable, %v", s.Unreadable, err)
	}
}

// Of many diagnostics those are kept that matter, wherever they are.
func TestManyDiagnostics(t *testing.T) {
	const fatal = "postqueue: fatal: the queue is broken"
	warnings := strings.Repeat("postqueue: warning: unused parameter\n", 10_000)
	for name, text := range map[string]string{
		"before them":     fatal + "\n" + warnings,
		"among them":      warnings + fatal + "\n" + warnings,
		"behind them":     warnings + fatal,
		"with a long one": "postqueue: warning: " + strings.Repeat("x", 1<<20) + "\n" + fatal,
	} {
		t.Run(name, func(t *testing.T) {
			p := listingParser{visit: func(*queue.Message) {}}
			if err := p.parse(strings.NewReader(text)); !errors.Is(err, errSaid) || !strings.Contains(p.diagnostics, fatal) {
				t.Errorf("%v, %q", err, p.diagnostics)
			}
			if len(p.diagnostics) > 2*keepDiagnostics {
				t.Errorf("%d bytes are kept", len(p.diagnostics))
			}
		})
	}
}

// limited reads a line as many times as given.
type limited struct {
	text  string
	lines int
}

func (r *limited) Read(p []byte) (n int, err error) {
	for r.lines > 0 && n+len(r.text) <= len(p) {
		n += copy(p[n:], r.text)
		r.lines--
	}
	if n == 0 {
		return 0, errors.New("end of the test")
	}
	return n, nil
}

// FuzzDamagedListing shows that a damaged listing is never whole with fewer messages than its whole lines prove. A
// listing of postqueue -j that is cut exactly between two lines is the one exception: it has no end mark.
func FuzzDamagedListing(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join(listings, "3.7.11", "mixed.*"))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no captured listings: %v", err)
	}
	var whole [][]byte
	for _, path := range paths {
		if filepath.Ext(path) != ".showq" {
			content, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			whole = append(whole, content)
		}
	}
	f.Add(uint(0), uint(300), uint(900), []byte(nil))
	f.Add(uint(1), uint(70), uint(90), []byte("postqueue: fatal: x\n"))
	f.Add(uint(0), uint(0), uint(0), []byte("Welcome\n"))
	f.Add(uint(1), uint(500), uint(2000), []byte("\n"))
	f.Fuzz(func(t *testing.T, which, from, to uint, replacement []byte) {
		content := whole[which%uint(len(whole))]
		from, to = from%uint(len(content)+1), to%uint(len(content)+1)
		if from > to {
			from, to = to, from
		}
		damaged := bytes.Join([][]byte{content[:from], replacement, content[to:]}, nil)
		s, err := queue.Summarize(t.Context(), &listing{r: bytes.NewReader(damaged)}, queue.Query{})
		proved := wholeLines(content, damaged)
		if s.Total.Messages < proved {
			t.Errorf("%d messages, but %d whole lines; %v", s.Total.Messages, proved, err)
		}
		isJSON := bytes.HasPrefix(content, []byte("{"))
		if begun := int64(bytes.Count(damaged, messageStart)); err == nil && isJSON && s.Total.Messages < begun {
			t.Errorf("%d messages pass for %d that begin:\n%s", s.Total.Messages, begun, damaged)
		}
		isEmpty := len(damaged) == 0 || bytes.HasPrefix(damaged, []byte(textEmpty))
		if err == nil && !isJSON && s.Total.Messages < 10 && !isEmpty {
			t.Errorf("%d messages of 10 pass for all of them:\n%s", s.Total.Messages, damaged)
		}
	})
}

// wholeLines counts the lines of messages that are in a listing before and after the damage. Of a text listing only
// those before its first end count: what follows that is not read.
func wholeLines(before, after []byte) (n int64) {
	isMessage := map[string]bool{}
	for line := range bytes.Lines(before) {
		if bytes.HasPrefix(line, []byte("{")) {
			isMessage[string(line)] = true
		}
	}
	for line := range bytes.Lines(after) {
		if isMessage[string(line)] {
			n++
		}
	}
	return n
}
