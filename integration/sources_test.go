//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// The sources agree to the byte on a queue at rest that has everything in it.
func TestSourcesAgree(t *testing.T) {
	hashed := "hash_queue_names=deferred,defer,hold,incoming,active"
	for name, settings := range map[string][]string{
		"not hashed":   {"hash_queue_names=bounce"},
		"hash depth 1": {hashed, "hash_queue_depth=1"},
		"hash depth 2": {hashed, "hash_queue_depth=2"},
		"logs alone":   {"hash_queue_names=defer", "hash_queue_depth=3"},
	} {
		t.Run(name, func(t *testing.T) {
			p := fillEveryQueue(t, settings...)
			pointers := countFilesWith(t, "/var/spool/postfix", "\np\x0f", "\x00p\x0f", "p\x0f  ")
			if pointers == 0 {
				t.Error("no queue file has a pointer record: the milter was not asked")
			}
			for user, sources := range map[string][]string{
				"root":    {"spool", "showq", "auto"},
				"postfix": {"spool", "showq", "auto"},
				"nobody":  {"auto"},
			} {
				want := snapshotOf(t, "root", "--source", "postqueue")
				for _, source := range sources {
					got := snapshotOf(t, user, "--source", source)
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s as %s (-postqueue +%[1]s):\n%[3]s\n%[4]s",
							source, user, diff, p.postqueue("-p").stdout)
					}
				}
			}
			want := whatTextTells(snapshotOf(t, "root", "--source", "postqueue"))
			text := saveListing(t, p.must(p.postqueue("-p")).stdout)
			if diff := cmp.Diff(want, whatTextTells(snapshotOf(t, "root", "--input", text))); diff != "" {
				t.Errorf("(-postqueue -j +postqueue -p):\n%s\n%s", diff, p.postqueue("-p").stdout)
			}
			for _, queues := range []string{"maildrop", "!hold", "deferred,incoming"} {
				want := snapshotOf(t, "root", "--source", "postqueue", "-q", queues)
				for _, source := range []string{"spool", "showq"} {
					if diff := cmp.Diff(want, snapshotOf(t, "root", "--source", source, "-q", queues)); diff != "" {
						t.Errorf("-q %s (-postqueue +%s):\n%s", queues, source, diff)
					}
				}
			}
			for _, queue := range []string{"active", "deferred", "hold", "incoming", "maildrop"} {
				if snapshotOf(t, "root")["queues"].(map[string]any)[queue].(map[string]any)["messages"].(float64) == 0 {
					t.Errorf("queue %s is empty: nothing is shown about it", queue)
				}
			}
		})
	}
}

// The sources agree on addresses and reasons in UTF-8, whether Postfix shows them or a question mark for each byte.
func TestSourcesAgreeOnUTF8(t *testing.T) {
	for name, test := range map[string]struct {
		settings []string
		want     string // the recipient as it is shown
	}{
		"shown":     {nil, "\u00f6@later.example"},
		"not shown": {[]string{"smtputf8_enable=no"}, "??@later.example"},
	} {
		t.Run(name, func(t *testing.T) {
			server := newSMTPServer(t)
			server.answer("later.example", "450 4.7.1 Greylisted, s\u00fc\u00df")
			settings := append([]string{"defer_transports=", "default_transport=" + server.transport()}, test.settings...)
			p := startPostfix(t, settings...)
			m := mail{from: "\u00e4@example.com", to: []string{"\u00f6@later.example", "o@later.example"}, noSMTPUTF8: true}
			listed := p.waitDeferred(p.send(m))
			got := listed[0].Recipients
			if !slices.ContainsFunc(got, func(r listedRecipient) bool { return r.Address == test.want }) {
				t.Errorf("recipients are %+v, want %s", got, test.want)
			}
			for _, args := range [][]string{nil, {"--reason", "grey"}, {"--recipient", regexp.QuoteMeta(test.want)}} {
				want := snapshotOf(t, "root", append(args, "--source", "postqueue")...)
				for _, source := range []string{"spool", "showq"} {
					got := snapshotOf(t, "root", append(args, "--source", source)...)
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%v (-postqueue +%s):\n%s", args, source, diff)
					}
				}
			}
		})
	}
}

// The sources agree on recipients that only the defer log has, as after a redirection, a percent hack or a bang path.
func TestSourcesAgreeOnRedirectedMail(t *testing.T) {
	server := newSMTPServer(t)
	server.answer("later.example", "450 4.7.1 Greylisted")
	// Not in main.cf itself: that is possible from 3.7 on.
	checks := writeConfig(t, "header_checks", "/^Subject: redirect/ REDIRECT redirected@later.example\n")
	p := startPostfix(t, "defer_transports=", "default_transport="+server.transport(), "mydestination=local.example",
		"header_checks=regexp:"+checks)
	to := []string{"one@later.example", "two@later.example"}
	for _, to := range [][]string{
		to,
		{"percent%later.example@local.example", "three@later.example"},
		{"later.example!bang@local.example"},
	} {
		p.send(mail{from: "a@example.com", to: to})
	}
	p.must(command{stdin: "Subject: redirect\n\n"}.run(t, "/usr/sbin/sendmail", append([]string{"-i"}, to...)...))
	p.waitQueue(func(l listing) bool { return len(l.in("deferred")) == 4 })
	want := snapshotOf(t, "root", "--source", "postqueue")
	for _, source := range []string{"spool", "showq"} {
		if diff := cmp.Diff(want, snapshotOf(t, "root", "--source", source)); diff != "" {
			t.Errorf("(-postqueue +%s):\n%s\n%s", source, diff, p.postqueue("-p").stdout)
		}
	}
	if got := want["total"].(map[string]any)["recipients"].(float64); got != 10 {
		t.Errorf("%v recipients, want 10: the logs have none that the queue files lack\n%s", got, p.postqueue("-p").stdout)
	}
}

// snapshotOf reads the queue and returns the snapshot of its only instance,
// without what may differ: how it was read, and what only the spool knows.
func snapshotOf(t *testing.T, user string, args ...string) map[string]any {
	t.Helper()
	args = append([]string{"-f", "json", "--breakdown"}, args...)
	r := runAs(t, user, program(t, emitterProgram), args...)
	verifySnapshot(t, r, args)
	if r.exitCode != 0 {
		t.Fatalf("%v: %v", args, r)
	}
	var document struct{ Instances []map[string]any }
	if err := json.Unmarshal([]byte(r.stdout), &document); err != nil || len(document.Instances) != 1 {
		t.Fatalf("%v: %v, %s", args, err, r.stdout)
	}
	delete(document.Instances[0], "source")
	delete(document.Instances[0], "corrupt")
	// Only the files say when mail expires and what does not move, and the space changes.
	for _, member := range []string{"expiring", "troubles", "spool_free", "spool_free_inodes"} {
		delete(document.Instances[0], member)
	}
	if tops, ok := document.Instances[0]["tops"].(map[string]any); ok {
		deleteAll(tops, "login", "client")
	}
	if breakdown, ok := document.Instances[0]["breakdown"].(map[string]any); ok {
		deleteAll(breakdown, "logins", "clients", "next_tries")
		for _, row := range breakdown["sender_domains"].(map[string]any)["rows"].([]any) {
			deleteAll(row.(map[string]any), "logins", "clients")
		}
		if largest, ok := breakdown["largest"].(map[string]any); ok {
			delete(largest, "done")
		}
	}
	queues, _ := document.Instances[0]["queues"].(map[string]any)
	for _, tally := range queues {
		delete(tally.(map[string]any), "ages") // counted up to the moment of the reading
	}
	return document.Instances[0]
}

// whatTextTells leaves of a snapshot what the text of postqueue -p can know: nothing of times, nor of
// deferred, incoming and maildrop on their own. With that it cannot know how much of the mail that has a
// reason is deferred: what is requeued in maildrop still has its own.
func whatTextTells(snapshot map[string]any) map[string]any {
	for _, member := range []string{"timeless", "arrived_5m", "arrived_1h", "future"} {
		delete(snapshot, member)
	}
	delete(snapshot["total"].(map[string]any), "oldest_arrival")
	queues := snapshot["queues"].(map[string]any)
	for _, queue := range []string{"deferred", "incoming", "maildrop"} {
		delete(queues, queue)
	}
	for _, tally := range queues {
		delete(tally.(map[string]any), "oldest_arrival")
	}
	delete(snapshot, "deferral_reasons")
	breakdown := snapshot["breakdown"].(map[string]any)
	delete(breakdown, "problems")
	recipients := breakdown["recipients"].(map[string]any)
	for _, row := range append(recipients["rows"].([]any), recipients["total"]) {
		delete(row.(map[string]any), "by_age")
	}
	return snapshot
}

func deleteAll(object map[string]any, members ...string) {
	for _, member := range members {
		delete(object, member)
	}
}

// fillEveryQueue starts a Postfix that has mail of every kind in every queue, and brings it to rest.
func fillEveryQueue(t *testing.T, settings ...string) *postfixInstance {
	t.Helper()
	server, hanging := newSMTPServer(t), newSMTPServer(t)
	server.answer("later.example", "450 4.7.1 Greylisted")
	server.answer("done.example", "250 2.1.5 Ok")
	var differentlyFull []string // reasons of one category, in one message
	for i := range 8 {
		domain := fmt.Sprintf("full%d.example", i)
		server.answer(domain, fmt.Sprintf("452 4.2.2 Mailbox full for %d days", 8-i))
		differentlyFull = append(differentlyFull, "a@"+domain)
	}
	hanging.greet(hang)
	change := newMilter(t,
		milterReply{milterChangeSender, "<changed by milter@example.com>\x00"},
		milterReply{milterAddRecipient, "<added@later.example>\x00"},
		milterReply{milterDelRecipient, "<deleted@later.example>\x00"},
		milterReply{milterAddHeader, "\x00\x00\x00\x01X-Test\x00" + strings.Repeat("x", 200) + "\x00"},
	)
	p := startPostfix(t, append([]string{
		"defer_transports=", "duplicate_filter_limit=20", "smtpd_recipient_limit=100000",
		fmt.Sprintf("transport_maps=inline:{{later.example=%s},{done.example=%s},{hang.example=%s}}",
			server.transport(), server.transport(), hanging.transport()),
		"default_transport=" + server.transport(),
		"smtp_helo_timeout=3600s", "smtp_connect_timeout=3600s",
	}, settings...)...)

	var ids []string
	deferred := func(m mail) string {
		t.Helper()
		id := p.send(m)
		ids = append(ids, id)
		return id
	}
	deferred(mail{from: "sender@example.com", to: []string{"one@later.example"}})
	deferred(mail{from: "", to: []string{"postmaster@later.example"}, sizeBytes: 30_000})
	quoted := []string{`"odd (one)"@later.example`, `"two"@later.example`}
	deferred(mail{from: `"quoted sender"@example.com`, to: quoted})
	beyondFilterLimit := numbered("member", "later.example", 60)
	deferred(mail{from: "list@example.com", to: beyondFilterLimit})
	deliveredInPart := append(numbered("half", "done.example", 3), "x@later.example")
	deferred(mail{from: "list@example.com", to: deliveredInPart})
	beyondFirst4KiB := numbered(strings.Repeat("long-name-", 5), "later.example", 200)
	deferred(mail{from: "list@example.com", to: beyondFirst4KiB})
	deferred(mail{from: "list@example.com", to: differentlyFull})
	held := deferred(mail{from: "sender@example.com", to: []string{"held@later.example"}})
	expired := deferred(mail{from: "sender@example.com", to: []string{"expired@later.example"}})
	requeued := deferred(mail{from: "sender@example.com", to: []string{"requeued@later.example", "also@later.example"}})
	// A reload interrupts deliveries. Not waitDeferred: beyond duplicate_filter_limit a recipient is listed
	// again, without its reason.
	atRest := func(others int) {
		t.Helper()
		p.waitQueue(func(l listing) bool {
			return len(l.in("deferred")) == len(ids)+others && len(l) == len(ids)+others
		})
	}
	atRest(0)
	p.set("smtpd_milters=" + change.address())
	p.reload()
	kept := []string{"kept@later.example", "deleted@later.example"}
	deferred(mail{from: "original@example.com", to: kept, sizeBytes: 9000})
	atRest(0)
	p.set("smtpd_milters=", "enable_long_queue_ids=yes")
	p.reload()
	deferred(mail{from: "long@example.com", to: []string{"long@later.example"}})
	p.sendmail(mail{from: "sendmail@example.com", to: []string{"sendmail@later.example"}})
	atRest(1)

	p.hold(held)
	p.forceExpire(expired)
	// A message that its server never lets go of, and one that waits for its turn behind the limit.
	// After it no reload comes to an end.
	p.set("qmgr_message_active_limit=1", "qmgr_message_recipient_limit=1")
	p.disableService("pickup/unix")
	p.reload()
	p.send(mail{from: "sender@example.com", to: []string{"active@hang.example"}})
	p.waitQueue(func(l listing) bool { return len(l.in("active")) == 1 })
	p.send(mail{from: "sender@example.com", to: []string{"incoming@hang.example"}})
	p.waitQueue(func(l listing) bool { return len(l.in("incoming")) == 1 })
	// Mail in maildrop: fresh, requeued, unfinished, and files that are not mail.
	p.sendmail(mail{from: "drop@example.com", to: []string{"a@later.example", "b@later.example"}, sizeBytes: 6000})
	p.postsuper("-r", requeued)
	plantInMaildrop(t)
	return p
}

func numbered(name, domain string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%d@%s", name, i, domain)
	}
	return list
}

// plantInMaildrop puts into maildrop what a local user may put there.
func plantInMaildrop(t *testing.T) {
	t.Helper()
	maildrop := "/var/spool/postfix/maildrop"
	write := func(name, content string, mode os.FileMode) {
		path := filepath.Join(maildrop, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("00000AAAA01", "T\x0a1795454099S\x01aR\x01b", 0o644) // unfinished: not ready
	write("00000AAAA02", "garbage, and no end\n", 0o744)       // ready, but no message
	write("00000AAAA03", "T\x0a1795454099S\x01aR\x7fb", 0o744) // damaged behind its sender: counts
	write("00000AAAA04", "S\x01aR\x01bp\x013", 0o744)          // goes round in circles
	write("00000AAAA05", "", 0o744)                            // empty
	write("not-an-id!", "T\x0a1795454099S\x01aR\x01bM\x00X\x00E\x00", 0o744)
	if err := unix.Mkfifo(filepath.Join(maildrop, "00000AAAA06"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(maildrop, "00000AAAA07")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("00000AAAA06", filepath.Join(maildrop, "00000AAAA08")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(maildrop, "00000AAAA09"), 0o700); err != nil {
		t.Fatal(err)
	}
	zero := int(unix.Mkdev(1, 5))
	if err := unix.Mknod(filepath.Join(maildrop, "00000AAAA0A"), unix.S_IFCHR|0o700, zero); err != nil {
		t.Fatal(err)
	}
}

// countFilesWith returns how many files below dir contain one of the texts.
func countFilesWith(t *testing.T, dir string, texts ...string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		for _, text := range texts {
			if strings.Contains(string(content), text) {
				n++
				break
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// While mail flows in and out the sources agree within the traffic, and none fails because a file
// vanished.
func TestSourcesWhileMailFlows(t *testing.T) {
	server := newSMTPServer(t)
	server.answer("done.example", "250 2.1.5 Ok")
	server.answer("later.example", "450 4.7.1 Greylisted")
	p := startPostfix(t, "defer_transports=", "default_transport="+server.transport())
	for range 20 {
		p.send(mail{from: "a@example.com", to: []string{"b@later.example"}})
	}
	p.waitQueue(func(l listing) bool { return len(l.in("deferred")) == 20 })
	const maxOnTheirWay = 20
	done := mail{from: "a@example.com", to: []string{"b@done.example"}}
	ctx, stop := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	sending.Go(func() {
		for sent := 0; ctx.Err() == nil; {
			if sent-server.messages() >= maxOnTheirWay {
				time.Sleep(time.Millisecond)
				continue
			}
			if _, err := smtpSend(done); err != nil {
				t.Error(err)
				return
			}
			sent++
		}
	})
	defer func() {
		stop()
		sending.Wait()
	}()
	readings := 0
	waitFor(t, "many readings and deliveries", func() (bool, any) {
		for _, source := range []string{"spool", "showq", "postqueue"} {
			s := snapshotOf(t, "root", "--source", source)
			messages := s["total"].(map[string]any)["messages"].(float64)
			// A message that moves to another queue meanwhile may be seen twice, or not at all.
			if messages < 15 || messages > 20+2*maxOnTheirWay {
				t.Errorf("%s: %v messages while 20 wait and at most %d are on their way",
					source, messages, maxOnTheirWay)
			}
			readings++
		}
		delivered := server.messages()
		return readings >= 90 && delivered >= 90 || t.Failed(),
			fmt.Sprintf("%d readings, %d messages delivered", readings, delivered)
	})
}

func TestCorruptFilesAreCounted(t *testing.T) {
	startPostfix(t)
	if err := os.WriteFile("/var/spool/postfix/corrupt/ABCDEF012345", []byte("x"), 0o400); err != nil {
		t.Fatal(err)
	}
	r := runAs(t, "root", program(t, "check_postfix_queue"), "-c", "corrupt=0")
	if r.exitCode != 2 || !strings.Contains(r.stdout, "1 corrupt (above 0)") ||
		!strings.Contains(r.stdout, " corrupt=1;;0;0 ") {
		t.Error(r)
	}
	r = runAs(t, "nobody", program(t, "check_postfix_queue"), "-c", "corrupt=0")
	if r.exitCode != 3 || !strings.Contains(r.stdout, "this source does not know corrupt") {
		t.Error(r)
	}
	r = runAs(t, "root", program(t, "check_postfix_queue"))
	if r.exitCode != 0 || strings.Contains(r.stdout, "corrupt") {
		t.Error(r)
	}
}
