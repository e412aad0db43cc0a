//go:build integration

package integration

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// The tests of this file test the tools of the other tests: they show that the private Postfix can be brought
// into every state that those need.

func TestReasonOfTheServer(t *testing.T) {
	const (
		markup     = "450 a|b=c $d$ `e` <script>f</script> 'g' \"h\" \\i"
		wellFormed = "450 umlaut \u00e4 next line \u0085 separator \u2028"
	)
	tests := map[string]struct{ reply, want string }{
		"greylisted":         {"450 4.7.1 Greylisted", "450 4.7.1 Greylisted"},
		"mailbox full":       {"452 4.2.2 mailbox full", "452 4.2.2 mailbox full"},
		"several lines":      {"451-4.3.0 first\r\n451 4.3.0 second", "451-4.3.0 first 451 4.3.0 second"},
		"markup":             {markup, markup},
		"control characters": {"450 bell\a tab\t escape\x1b[31m", "450 bell? tab? escape?[31m"},
		"Latin-1":            {"450 umlaut \xe4", "450 umlaut ?"},
		"UTF-8":              {wellFormed, wellFormed}, // passed on, printable or not
	}
	server := newSMTPServer(t)
	p := startPostfix(t, "defer_transports=", "default_transport="+server.transport())
	ids := make(map[string]string)
	for name, test := range tests {
		domain := fmt.Sprintf("%d.example", len(ids))
		server.answer(domain, test.reply)
		ids[name] = p.send(mail{from: "sender@example.com", to: []string{"someone@" + domain}})
	}
	listed := p.waitDeferred(slices.Collect(maps.Values(ids))...)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			message := listed.message(ids[name])
			want := "host 127.0.0.1[127.0.0.1] said: " + test.want + " (in reply to RCPT TO command)"
			if got := message.Recipients[0].DelayReason; got != want {
				t.Errorf("got reason %q, want %q", got, want)
			}
		})
	}
}

func TestServerThatDoesNotTalk(t *testing.T) {
	greets, drops, dropsLater := newSMTPServer(t), newSMTPServer(t), newSMTPServer(t)
	greets.greet("421 4.3.2 Too busy")
	drops.greet(dropConnection)
	dropsLater.answer("later.example", dropConnection)
	p := startPostfix(t, "defer_transports=", fmt.Sprintf(
		"transport_maps=inline:{{busy.example=%s},{drop.example=%s},{later.example=%s}}",
		greets.transport(), drops.transport(), dropsLater.transport()))

	want := map[string]string{
		"busy.example":  "host 127.0.0.1[127.0.0.1] refused to talk to me: 421 4.3.2 Too busy",
		"drop.example":  "lost connection with 127.0.0.1[127.0.0.1] while receiving the initial server greeting",
		"later.example": "lost connection with 127.0.0.1[127.0.0.1] while sending RCPT TO",
	}
	ids := make(map[string]string)
	for domain := range want {
		ids[domain] = p.send(mail{from: "sender@example.com", to: []string{"someone@" + domain}})
	}
	listed := p.waitDeferred(slices.Collect(maps.Values(ids))...)
	got := make(map[string]string)
	for domain, id := range ids {
		got[domain] = listed.message(id).Recipients[0].DelayReason
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

func TestDeliveryInTheEnd(t *testing.T) {
	server := newSMTPServer(t)
	server.answer("grey.example", "450 4.7.1 Greylisted")
	p := startPostfix(t, "defer_transports=", "default_transport="+server.transport())
	p.waitDeferred(p.send(mail{from: "sender@example.com", to: []string{"someone@grey.example"}}))

	server.answer("grey.example", "250 2.1.5 Ok")
	p.flush()
	p.waitQueue(func(listed listing) bool { return len(listed) == 0 })
	if got := server.messages(); got != 1 {
		t.Errorf("the server has %d messages, want 1", got)
	}
}

func TestEveryQueue(t *testing.T) {
	server := newSMTPServer(t)
	server.answer("grey.example", "450 4.7.1 Greylisted")
	server.answer("hang.example", hang)
	p := newPostfix(t, "defer_transports=", "default_transport="+server.transport(), "qmgr_message_active_limit=1")
	p.disableService("pickup/unix")
	p.start()

	want := make(map[string][]string)
	to := func(domain string) mail { return mail{from: "sender@example.com", to: []string{"someone@" + domain}} }
	deferred, held := p.send(to("grey.example")), p.send(to("grey.example"))
	p.waitDeferred(deferred, held)
	p.hold(held)
	want["deferred"], want["hold"] = []string{deferred}, []string{held}

	active := p.send(to("hang.example"))
	p.waitQueue(func(listed listing) bool { return listed.message(active).Queue == "active" })
	incoming := p.send(to("hang.example"))
	want["active"], want["incoming"] = []string{active}, []string{incoming}

	p.sendmail(to("grey.example"))
	want["maildrop"] = p.queueIDs("maildrop")
	if len(want["maildrop"]) != 1 {
		t.Fatalf("messages in maildrop: %q, want one", want["maildrop"])
	}
	got := make(map[string][]string)
	for _, m := range p.list() {
		got[m.Queue] = append(got[m.Queue], m.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("queue IDs by queue (-want +got):\n%s", diff)
	}
}

func TestForcedExpiry(t *testing.T) {
	p := startPostfix(t)
	m := mail{from: "sender@example.com", to: []string{"someone@example.org"}}
	expired, heldAndExpired, untouched := p.send(m), p.send(m), p.send(m)
	p.waitDeferred(expired, heldAndExpired, untouched)
	p.hold(heldAndExpired)
	p.forceExpire(expired, heldAndExpired)

	for _, m := range p.list() {
		if want := m.ID != untouched; m.ForcedExpire != want {
			t.Errorf("%s in %s: forced_expire is %v, want %v", m.ID, m.Queue, m.ForcedExpire, want)
		}
	}
	text := p.must(p.postqueue("-p")).stdout
	for _, want := range []string{expired + "# ", heldAndExpired + "!# ", untouched + " "} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("postqueue -p has no line with %q:\n%s", want, text)
		}
	}

	p.postsuper("-d", "ALL")
	if listed := p.list(); len(listed) != 0 {
		t.Errorf("after postsuper -d ALL there still are %d messages", len(listed))
	}
}

func TestAddresses(t *testing.T) {
	p := startPostfix(t)
	tests := map[string]struct {
		mail
		wantSender string
		wantTo     []string
	}{
		"null sender": {
			mail{from: "", to: []string{"a@example.org"}},
			"MAILER-DAEMON", []string{"a@example.org"},
		},
		"quoted": {
			mail{from: `"quoted sender"@example.com`, to: []string{`"a \" b"@example.org`}},
			`"quoted sender"@example.com`, []string{`"a \" b"@example.org`},
		},
		"UTF-8": {
			mail{from: "\u00e4@example.com", to: []string{"\u00f6@example.org"}},
			"\u00e4@example.com", []string{"\u00f6@example.org"},
		},
		"many recipients": {
			mail{from: "a@example.com", to: manyRecipients(300)},
			"a@example.com", manyRecipients(300),
		},
	}
	ids := make(map[string]string)
	for name, test := range tests {
		ids[name] = p.send(test.mail)
	}
	listed := p.waitDeferred(slices.Collect(maps.Values(ids))...)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			message := listed.message(ids[name])
			var to []string
			for _, r := range message.Recipients {
				to = append(to, r.Address)
			}
			slices.Sort(to)
			if message.Sender != test.wantSender {
				t.Errorf("got sender %q, want %q", message.Sender, test.wantSender)
			}
			if diff := cmp.Diff(test.wantTo, to); diff != "" {
				t.Errorf("recipients (-want +got):\n%s", diff)
			}
		})
	}
}

func manyRecipients(n int) []string {
	var to []string
	for i := range n {
		to = append(to, fmt.Sprintf("user%04d@example.org", i))
	}
	return to
}

func TestSizes(t *testing.T) {
	p := startPostfix(t)
	small := p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, body: "short"})
	large := p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 100_000})
	listed := p.waitDeferred(small, large)
	if got := listed.message(large).SizeBytes; got < 100_000 || got > 105_000 {
		t.Errorf("the large message has %d bytes", got)
	}
	want := fmt.Sprintf("-- %d Kbytes in 2 Requests.\n", listed.sizeBytes()/1024)
	if text := p.must(p.postqueue("-p")).stdout; !strings.HasSuffix(text, want) {
		t.Errorf("postqueue -p does not end with %q:\n%s", want, text)
	}
}

func TestLongAndShortQueueIDs(t *testing.T) {
	p := startPostfix(t, "enable_long_queue_ids=no")
	m := mail{from: "a@example.com", to: []string{"b@example.org"}}
	short := p.send(m)
	p.waitDeferred(short)
	p.set("enable_long_queue_ids=yes")
	p.reload()
	long := p.send(m)
	p.waitDeferred(short, long)

	for _, id := range []string{short, long} {
		parsed, err := parseQueueID(id)
		if err != nil {
			t.Fatal(err)
		}
		if parsed.String() != id || parsed.long != (id == long) {
			t.Errorf("queue ID %s is understood as %+v, and written %s", id, parsed, parsed)
		}
		var stat unix.Stat_t
		path := filepath.Join(spoolDir, "deferred", parsed.hash()[:1], id)
		if err := unix.Stat(path, &stat); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if stat.Ino != parsed.inode {
			t.Errorf("%s has inode %d, want %d", path, stat.Ino, parsed.inode)
		}
	}
}

func TestQueueID(t *testing.T) {
	tests := map[string]queueID{
		"63E3C1A2B3":       {microseconds: 0x63e3c, inode: 0x1a2b3},
		"4jY9bw2tYhz1SRtX": {seconds: 1795449548, microseconds: 0x63668, inode: 10011022, long: true},
		"4jYCpz04nfzDR":    {seconds: 1795455531, microseconds: 0x032b6, inode: 635, long: true},
	}
	for text, want := range tests {
		got, err := parseQueueID(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", text, got, err, want)
		}
		if want.String() != text {
			t.Errorf("%+v is written %s, want %s", want, want, text)
		}
	}
}

func TestFillQueue(t *testing.T) {
	for _, long := range []string{"no", "yes"} {
		t.Run("long queue IDs "+long, func(t *testing.T) {
			p := startPostfix(t, "enable_long_queue_ids="+long, "hash_queue_depth=2")
			id := p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000})
			want := p.waitDeferred(id)[0]
			const copies = 2000
			p.fillQueue(copies)

			before := p.list()
			if len(before) != copies+1 {
				t.Fatalf("%d messages are listed, want %d", len(before), copies+1)
			}
			for _, m := range before {
				m.ID = id
				if diff := cmp.Diff(want, m); diff != "" {
					t.Fatalf("a copy differs from its original (-want +got):\n%s", diff)
				}
			}
			// Postfix repairs what it finds wrong with its queue when it starts.
			p.stop()
			p.start()
			sortedIDs := func(l listing) []string { return slices.Sorted(slices.Values(l.ids())) }
			if diff := cmp.Diff(sortedIDs(before), sortedIDs(p.list())); diff != "" {
				t.Errorf("the restart changed queue IDs (-before +after):\n%s", diff)
			}
		})
	}
}

func TestUnprivilegedUser(t *testing.T) {
	p := startPostfix(t)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
	root, nobody := p.must(p.postqueue("-j")), p.must(runAs(t, "nobody", postqueueProgram, "-j"))
	if diff := cmp.Diff(root.stdout, nobody.stdout); diff != "" {
		t.Errorf("listings differ (-root +nobody):\n%s", diff)
	}
	id := runAs(t, "nobody", "id").stdout
	if !strings.HasPrefix(id, "uid=65534(nobody)") || strings.Contains(id, "(root)") {
		t.Errorf("nobody is %s", id)
	}
}

func TestFailures(t *testing.T) {
	p := startPostfix(t)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
	fails := func(name string, as command, want string) {
		t.Run(name, func(t *testing.T) {
			t.Helper()
			r := as.run(t, postqueueProgram, "-j")
			if r.exitCode != 69 || r.stdout != "" || !strings.HasPrefix(r.stderr, want) {
				t.Errorf("want exit code 69 and %q, got %s", want, r)
			}
		})
	}
	nobody := command{user: "nobody"}
	fails("setgid bit lost", command{user: "nobody", noNewPrivs: true},
		"postqueue: fatal: Connect to the Postfix showq service: Permission denied")
	p.set("authorized_mailq_users=root")
	fails("not authorised", nobody,
		"postqueue: fatal: User nobody(65534) is not allowed to view the mail queue")
	p.set("authorized_mailq_users=static:anyone")
	p.stop()
	fails("down", nobody,
		"postqueue: fatal: Queue report unavailable - mail system is down")

	t.Run("down, for root", func(t *testing.T) {
		r := p.postqueue("-j")
		const want = "postqueue: warning: Mail system is down -- accessing queue directly"
		if r.exitCode != 0 || !strings.HasPrefix(r.stderr, want) || strings.Count(r.stdout, "\n") != 1 {
			t.Errorf("want one message and %q, got %s", want, r)
		}
	})
}

func TestPrograms(t *testing.T) {
	for _, name := range []string{"check_postfix_queue", "postfix_queue_emit"} {
		if r := runAs(t, "nobody", program(t, name), "--help"); !strings.Contains(r.stdout, name) {
			t.Errorf("%s --help does not name it: %s", name, r)
		}
	}
}

func TestFreshInstance(t *testing.T) {
	for _, run := range []string{"first", "second"} {
		t.Run(run, func(t *testing.T) {
			p := startPostfix(t)
			if listed := p.list(); len(listed) != 0 {
				t.Errorf("a fresh queue has %d messages", len(listed))
			}
			if got := p.setting("authorized_mailq_users"); got != "static:anyone" {
				t.Errorf("a fresh authorized_mailq_users is %q", got)
			}
			p.set("authorized_mailq_users=root")
			p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
		})
	}
}

func TestReplacedPostqueue(t *testing.T) {
	t.Run("by a script", func(t *testing.T) {
		replacePostqueue(t, `echo "$@"; exit 7`)
		if r := runAs(t, "nobody", postqueueProgram, "-j", "x"); r.exitCode != 7 || r.stdout != "-j x\n" {
			t.Errorf("the script is not in place: %s", r)
		}
	})
	t.Run("by nothing", func(t *testing.T) {
		hidePostqueue(t)
		if _, err := os.Lstat(postqueueProgram); !os.IsNotExist(err) {
			t.Errorf("postqueue is still there: %v", err)
		}
		if r := runAs(t, "nobody", "postconf", "-d", "-h", "command_directory"); r.stdout != "/usr/sbin\n" {
			t.Errorf("postconf, beside it, does not run: %s", r)
		}
	})
	info, err := os.Lstat(postqueueProgram)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode()&fs.ModeSetgid == 0 {
		t.Errorf("%s was not restored: %v", postqueueProgram, info.Mode())
	}
}

func TestProcesses(t *testing.T) {
	p := startPostfix(t)
	before := liveProcesses(t)
	p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}) // makes new daemons
	sleep := command{user: "nobody"}.start(t, "sleep", "infinity")
	pid := sleep.cmd.Process.Pid
	want := []process{{pid: pid, ppid: os.Getpid(), pgid: pid, comm: "sleep", cmdline: []string{"sleep", "infinity"}}}
	waitFor(t, "the command line of sleep", func() (bool, any) { // empty for a moment after the start
		added := newProcesses(t, before)
		return cmp.Equal(want, added, cmp.AllowUnexported(process{})), added
	})
	sleep.signal(unix.SIGKILL)
	noNewProcesses(t, before) // a zombie, for nobody has waited for it yet
	if r := sleep.wait(); r.exitCode != -1 {
		t.Errorf("sleep ended by itself: %s", r)
	}
}

func TestOrphans(t *testing.T) {
	before := liveProcesses(t)
	runAs(t, "nobody", "sh", "-c", "setsid sleep infinity >/dev/null 2>&1 &")
	added := newProcesses(t, before)
	if len(added) != 1 {
		t.Fatalf("new processes are %v, want one", added)
	}
	if err := unix.Kill(added[0].pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	noNewProcesses(t, before)
}

func TestPeakMemory(t *testing.T) {
	const large = 64 << 20
	_, small := measurePeak(t, "true")
	r, got := measurePeak(t, "sh", "-c", fmt.Sprintf("head -c %d /dev/zero | tail -n 1 | wc -c", large))
	if r.stdout != fmt.Sprintln(large) {
		t.Fatal(r)
	}
	if small > large/2 || got < large || got > 2*large {
		t.Errorf("peaks are %d bytes for nothing and %d bytes for %d", small, got, large)
	}
}
