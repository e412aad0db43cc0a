//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const postcatProgram = "/usr/sbin/postcat"

// A postcatFile is what postcat says of a queue file.
type postcatFile struct {
	path       string            // below queue_directory
	types      map[byte]bool     // of its records
	attributes map[string]string // by name
	sizeBytes  int64
	arrival    time.Time
	created    time.Time
	sender     string
	recipients []string // that are not done, each once
	done       int
	filter     string
}

var (
	postcatPath = regexp.MustCompile(`^\*\*\* ENVELOPE RECORDS (\S+) \*\*\*$`)
	// postcatRecord matches the type, the name and the text of a record, and that of a mark such as MESSAGE CONTENTS.
	postcatRecord = regexp.MustCompile(`^ *(\d+) (?:(\w+): *(.*)|\*\*\* .* \*\*\*)$`)
)

// postcat reads a queue file by postcat, record for record.
func postcat(t testing.TB, id string) postcatFile {
	t.Helper()
	r := command{env: []string{"TZ=UTC"}}.run(t, postcatProgram, "-devq", id)
	if r.exitCode != 0 {
		t.Fatal(r)
	}
	f := postcatFile{types: make(map[byte]bool), attributes: make(map[string]string)}
	for line := range strings.Lines(r.stdout) {
		line = strings.TrimSuffix(line, "\n")
		if head := postcatPath.FindStringSubmatch(line); head != nil {
			f.path = head[1]
			continue
		}
		m := postcatRecord.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("postcat says %q", line)
		}
		f.types[byte(number(t, m[1]))] = true
		f.take(t, m[2], m[3])
	}
	return f
}

// take takes what a record says.
func (f *postcatFile) take(t testing.TB, name, text string) {
	t.Helper()
	at := func() time.Time {
		when, err := time.Parse(time.ANSIC, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	switch name {
	case "message_size":
		f.sizeBytes = int64(number(t, strings.Fields(text)[0]))
	case "message_arrival_time":
		f.arrival = at()
	case "create_time":
		f.created, f.attributes[name] = at(), text
	case "named_attribute":
		attribute, value, _ := strings.Cut(text, "=")
		f.attributes[attribute] = value
	case "sender":
		f.sender = text
	case "recipient":
		if !slices.Contains(f.recipients, text) {
			f.recipients = append(f.recipients, text)
		}
	case "done_recipient":
		f.done++
	case "content_filter":
		f.filter = text
	}
}

// A messageView is what a snapshot of one message says of it.
type messageView struct {
	SizeBytes, Recipients, ForcedExpire int64
	Arrival                             time.Time
	Login, Client, SenderDomain         string
	Domains                             map[string]int64 // recipients
	Largest                             largestView
}

type largestView struct {
	ID, Sender    string
	Waiting, Done int
}

// TestPostcat compares what the program says of a message with what postcat says of its file, for each record that the
// program uses.
func TestPostcat(t *testing.T) {
	l := startMailOfEveryKind(t)
	listed := l.list()
	types, attributes := make(map[byte]bool), make(map[string]bool)
	for _, m := range listed {
		f := postcat(t, m.ID)
		for kind := range f.types {
			types[kind] = true
		}
		for name := range f.attributes {
			attributes[name] = true
		}
		name, _, _ := strings.Cut(strings.Trim(m.Sender, `"`), "@")
		t.Run(name[:min(20, len(name))], func(t *testing.T) {
			want := f.view(m.ID)
			if name == "forced" {
				want.ForcedExpire = 1 // the mode of the file, which postcat does not show
			}
			if m.Queue == "maildrop" { // its record, if it has one, is from before
				info, err := os.Stat(filepath.Join(spoolDir, f.path))
				if err != nil {
					t.Fatal(err)
				}
				want.SizeBytes = info.Size()
			}
			got := viewOf(t, f)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-postcat +ours):\n%s", diff)
			}
			for filter, address := range map[string]string{"--sender": f.sender, "--recipient": f.recipients[0]} {
				r := l.must(root.run(t, program(t, emitterProgram), "-f", "ids", filter, "="+quotedAddress(address)))
				if !slices.Contains(strings.Fields(r.stdout), m.ID) {
					t.Errorf("%s %s does not find it: %s", filter, address, r)
				}
			}
			if isExpiring := !f.created.IsZero() && time.Since(f.created) > 4*24*time.Hour; isExpiring != (name == "expiring") {
				t.Errorf("created %v", f.created)
			}
		})
	}
	if seen := len(listed); seen != len(mailOfEveryKind())+4 {
		t.Errorf("%d messages", seen)
	}
	var document struct{ Instances []struct{ Expiring int } }
	r := l.must(root.emit(t, "-f", "json"))
	if err := json.Unmarshal([]byte(r.stdout), &document); err != nil || document.Instances[0].Expiring != 1 {
		t.Errorf("%v, want 1 message that expires: %s", err, r)
	}
	wantedTypes, wantedAttributes := recordsInUse(t)
	for name, kind := range wantedTypes {
		if !types[kind] {
			t.Errorf("no file has a record %q: %s", kind, name)
		}
	}
	for _, name := range wantedAttributes {
		if !attributes[name] {
			t.Errorf("no file has the attribute %s", name)
		}
	}
}

func mailOfEveryKind() []mail {
	long := strings.Repeat("long-", 40) // its length takes two bytes
	return []mail{
		{from: "login@isp.example", to: []string{"r@waits.example"}, login: "anna@isp.example", client: "192.0.2.1"},
		{from: "", to: []string{"null@waits.example"}},
		{from: "alias@isp.example", to: []string{"a@alias.example", "b@alias.example", "c@waits.example"}},
		{from: "done@isp.example", to: []string{"r@done.example", "r@waits.example", "q@waits.example"}},
		{from: "many@isp.example", to: append(numbered("r", "done.example", 30), numbered("r", "waits.example", 170)...)},
		{from: "filtered@isp.example", to: []string{"r@waits.example"}},
		{from: "redirect@isp.example", to: []string{"r@waits.example"}},
		{from: "\u00e4@isp.example", to: []string{"\u00f6@waits.example"}},
		{from: `"a quoted one"@isp.example`, to: []string{`"odd (one)"@waits.example`}},
		{from: long + "@isp.example", to: []string{long + "@waits.example"}, sizeBytes: 30_000},
		{from: "forced@isp.example", to: []string{"r@waits.example"}},
		{from: "held@isp.example", to: []string{"r@waits.example"}},
		{from: "old@isp.example", to: []string{"r@waits.example"}},
		{from: "expiring@isp.example", to: []string{"r@waits.example"}},
		{from: "requeued@isp.example", to: []string{"r@waits.example"}},
		{from: "dropped@isp.example", to: []string{"r@waits.example", "r@done.example"}},
	}
}

// startMailOfEveryKind starts a Postfix whose queue files have every record. Four messages are more than those of
// mailOfEveryKind: one that a milter has changed, two from sendmail, and one with a request for notices.
func startMailOfEveryKind(t *testing.T) *lab {
	t.Helper()
	actions := writeConfig(t, "actions",
		"/^filtered@/ FILTER nosuch:next.example\n/^redirect@/ REDIRECT x@redirect.example\n")
	aliases := writeConfig(t, "aliases", "/^[ab]@alias\\.example$/ x@twice.example\n")
	l := startLab(t, "virtual_alias_maps=regexp:"+aliases,
		"smtpd_sender_restrictions=check_sender_access regexp:"+actions)
	l.dns.mail("done.example", "mx.done.example", "127.0.0.12")
	newSMTPServerAt(t, "127.0.0.12:25")
	l.defers(mailOfEveryKind())
	ids := make(map[string]string)
	for _, m := range l.list() {
		name, _, _ := strings.Cut(m.Sender, "@")
		ids[name] = m.ID
	}
	l.forceExpire(ids["forced"])
	l.backdate(ids["old"], 30*time.Hour)
	l.createEarlier(ids["expiring"], 108*time.Hour)
	l.postsuper("-r", ids["requeued"])
	l.sendmail(mail{from: "sendmail@isp.example", to: []string{"r@waits.example"}}) // which wakes pickup
	l.must(command{stdin: "Subject: test\n\n"}.run(t, "/usr/sbin/sendmail", "-i", "-f", "notices@isp.example",
		"-N", "success,delay", "-V", "an-id", "r@waits.example"))
	l.waitQueue(func(listed listing) bool {
		return listed.message(ids["requeued"]).ID == "" && len(listed.in("deferred")) == len(mailOfEveryKind())+2
	})
	l.hold(ids["held"])

	changes := newMilter(t,
		milterReply{milterChangeSender, "<changed@isp.example>\x00"},
		milterReply{milterAddRecipient, "<added@waits.example>\x00"},
		milterReply{milterDelRecipient, "<deleted@waits.example>\x00"},
		milterReply{milterAddHeader, "\x00\x00\x00\x01X-Test\x00" + strings.Repeat("x", 200) + "\x00"},
	)
	l.set("smtpd_milters=" + changes.address())
	l.reload()
	l.defers([]mail{{from: "milter@isp.example", to: []string{"r@waits.example", "deleted@waits.example"}}})
	l.disableService("pickup/unix")
	l.reload()
	l.sendmail(mail{from: "maildrop@isp.example", to: []string{"r@waits.example", "q@waits.example"}})
	l.postsuper("-r", ids["dropped"])
	return l
}

// createEarlier makes a deferred message one that was made earlier, and has arrived again since.
func (l *lab) createEarlier(id string, by time.Duration) {
	l.t.Helper()
	path := filepath.Join(spoolDir, postcat(l.t, id).path)
	info, err := os.Stat(path)
	if err != nil {
		l.t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		l.t.Fatal(err)
	}
	made := regexp.MustCompile(`create_time=(\d{10})`).FindSubmatchIndex(content)
	earlier := number(l.t, string(content[made[2]:made[3]])) - int(by.Seconds())
	copy(content[made[2]:made[3]], fmt.Sprint(earlier))
	if err := os.WriteFile(path, content, 0); err != nil { // the file is there: it keeps owner and mode
		l.t.Fatal(err)
	}
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		l.t.Fatal(err)
	}
}

// view is what a snapshot must say of the message.
func (f postcatFile) view(id string) messageView {
	v := messageView{
		SizeBytes: f.sizeBytes, Recipients: int64(len(f.recipients)), Arrival: f.arrival,
		Login: f.attributes["sasl_username"], Client: f.attributes["log_client_address"],
		SenderDomain: "MAILER-DAEMON", Domains: make(map[string]int64),
	}
	if f.sender != "" {
		_, v.SenderDomain, _ = strings.Cut(f.sender, "@")
	}
	for _, recipient := range f.recipients {
		_, domain, _ := strings.Cut(recipient, "@")
		v.Domains[domain]++
	}
	if n := len(f.recipients); n >= 100 {
		v.Largest = largestView{id, f.sender, n, f.done}
	}
	return v
}

// viewOf is what a snapshot says of a queue that has this message alone. It has its defer log, too, if there a reason
// depends on a record.
func viewOf(t *testing.T, f postcatFile) (v messageView) {
	t.Helper()
	dir := publicTempDir(t)
	for _, name := range append([]string{"defer"}, queueNames...) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	paths := []string{f.path}
	if f.filter != "" {
		paths = append(paths, strings.Replace(f.path, "deferred/", "defer/", 1))
	}
	script := []string{"-c", `cd "$0" && cp -a --parents "$@"`, spoolDir}
	if r := root.run(t, "sh", append(append(script, paths...), dir)...); r.exitCode != 0 {
		t.Fatal(r)
	}
	type counts struct {
		Messages     int64
		SizeBytes    int64 `json:"size_bytes"`
		Recipients   int64
		ForcedExpire int64 `json:"forced_expire"`
		Oldest       int64 `json:"oldest_arrival"`
	}
	type rows struct {
		Rows []struct {
			Key   string
			Count int64
		}
	}
	var document struct {
		Instances []struct {
			Total     counts
			Breakdown struct {
				Logins, Clients, Recipients rows
				SenderDomains               rows `json:"sender_domains"`
				Problems                    []struct {
					NextHop string `json:"next_hop"`
				}
				Largest largestView
			}
		}
	}
	args := []string{"-f", "json", "--breakdown", "--queue-directory", dir}
	r := root.run(t, program(t, emitterProgram), args...) // not emit: addresses may have other letters
	verifySnapshot(t, r, args)
	if err := json.Unmarshal([]byte(r.stdout), &document); err != nil || r.exitCode != 0 {
		t.Fatalf("%v: %s", err, r)
	}
	total, b := document.Instances[0].Total, document.Instances[0].Breakdown
	if total.Messages != 1 {
		t.Fatalf("not one message: %s", r)
	}
	only := func(r rows) string {
		if len(r.Rows) == 0 {
			return ""
		}
		return r.Rows[0].Key
	}
	if f.filter != "" && f.filter != b.Problems[0].NextHop {
		t.Errorf("the next hop is %s, with the content filter %s", b.Problems[0].NextHop, f.filter)
	}
	v = messageView{
		total.SizeBytes, total.Recipients, total.ForcedExpire, time.Unix(total.Oldest, 0).UTC(),
		only(b.Logins), only(b.Clients), only(b.SenderDomains), make(map[string]int64), b.Largest,
	}
	for _, row := range b.Recipients.Rows {
		v.Domains[row.Key] = row.Count
	}
	return v
}

// quotedAddress is an address as listings show it.
func quotedAddress(address string) string {
	local, domain, _ := strings.Cut(address, "@")
	switch {
	case address == "":
		return "MAILER-DAEMON"
	case strings.ContainsAny(local, " ()"):
		local = `"` + local + `"`
	}
	return local + "@" + domain
}

// recordsInUse are the types of records that the reader of queue files has a case for, by name, and the attributes.
func recordsInUse(t *testing.T) (types map[string]byte, attributes []string) {
	t.Helper()
	source := func(file string) string {
		content, err := os.ReadFile("../internal/spool/" + file)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	records, types := source("records.go"), make(map[string]byte)
	for _, used := range regexp.MustCompile(`case (record\w+):`).FindAllStringSubmatch(source("envelope.go"), -1) {
		m := regexp.MustCompile(used[1] + ` += '(.)'`).FindStringSubmatch(records)
		if m == nil {
			t.Fatalf("which type is %s?", used[1])
		}
		types[used[1]] = m[1][0]
	}
	for _, m := range regexp.MustCompile(`= \[\]byte\("(\w+)="\)`).FindAllStringSubmatch(records, -1) {
		attributes = append(attributes, m[1])
	}
	if len(types) < 10 || len(attributes) < 3 {
		t.Fatalf("the reader uses %v and %v", types, attributes)
	}
	return types, attributes
}
