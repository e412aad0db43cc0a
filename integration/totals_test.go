//go:build integration

package integration

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// startMixedQueue starts a Postfix with mail of every kind in every queue, all of it at rest.
func startMixedQueue(t *testing.T) (*postfixInstance, listing) {
	t.Helper()
	server := newSMTPServer(t)
	server.answer("grey.example", "450 4.7.1 Greylisted")
	server.answer("full.example", "452 4.2.2 Mailbox full (try -- 5 Kbytes in 5 Requests. later)")
	server.answer("hang.example", hang)
	p := newPostfix(t, "defer_transports=", "default_transport="+server.transport(),
		"enable_long_queue_ids=no", "smtpd_recipient_limit=2000")
	p.disableService("pickup/unix")
	p.start()

	to := func(recipients ...string) mail { return mail{from: "sender@example.com", to: recipients} }
	held, heldAndExpired := p.send(to("a@grey.example")), p.send(to("b@full.example"))
	time.Sleep(2 * time.Second) // the age of the oldest message is not that of the oldest on hold
	expired := p.send(to("c@grey.example"))
	large := p.send(mail{from: "d@example.com", to: []string{"d@grey.example"}, sizeBytes: 100_700})
	p.waitDeferred(held, heldAndExpired, expired, large)
	p.hold(held, heldAndExpired)
	p.forceExpire(expired, heldAndExpired)

	p.set("enable_long_queue_ids=yes")
	p.reload()
	var many []string
	for i := range manyOfOne {
		many = append(many, fmt.Sprintf("user%04d@grey.example", i))
	}
	manyID := p.send(to(many...))
	p.waitDeferred(
		p.send(mail{from: "", to: []string{"e@grey.example"}}),
		p.send(mail{
			from: `"quoted sender"@example.com`, to: []string{`"quoted (recipient)"@full.example`}, sizeBytes: 1900,
		}),
		p.send(to("f@grey.example", "g@full.example", "h@grey.example")),
	)
	// The second entry of a recipient has no reason: waitDeferred would never return.
	p.waitQueue(func(listed listing) bool { return listed.message(manyID).Queue == "deferred" })

	// With room for one active message, the one after it stays in the incoming queue.
	p.set("qmgr_message_active_limit=1")
	p.reload()
	active := p.send(to("i@hang.example"))
	p.waitQueue(func(listed listing) bool { return listed.message(active).Queue == "active" })
	p.forceExpire(active)
	p.send(to("j@hang.example", "k@hang.example"))
	p.sendmail(to("l@grey.example"))
	listed := p.list()
	return p, listed
}

// manyOfOne is the number of recipients of one message in the mixed queue. It is above duplicate_filter_limit,
// so postqueue lists some of them twice.
const manyOfOne = 1500

// checkMixedQueue makes sure that the mixed queue is one that the programs could get wrong.
func checkMixedQueue(t *testing.T, listed listing) {
	t.Helper()
	var short, long, listedTwice bool
	var floors int64
	for _, m := range listed {
		id, err := parseQueueID(m.ID)
		if err != nil {
			t.Fatal(err)
		}
		short, long = short || !id.long, long || id.long
		listedTwice = listedTwice || len(m.Recipients) > manyOfOne
		floors += m.SizeBytes / 1024
	}
	for _, queue := range queueNames {
		if len(listed.in(queue)) == 0 {
			t.Errorf("no message is in queue %s", queue)
		}
	}
	if !short || !long {
		t.Errorf("short and long queue IDs: %v, %v", short, long)
	}
	if !listedTwice {
		t.Error("no message has a recipient that is listed twice")
	}
	if floors == listed.sizeBytes()/1024 {
		t.Errorf("%d KiB are the sum of the sizes whether they are rounded one by one or together", floors)
	}
	if got, want := listed.metrics(queueNames), map[string]int64{
		"emails": 11, "recipients": manyOfOne + 13, "forced_expire": 3,
		"active": 1, "deferred": 6, "hold": 2, "incoming": 1, "maildrop": 1,
	}; !containsAll(got, want) {
		t.Errorf("the queue is not as it was made: %v, want %v", got, want)
	}
}

func containsAll[V comparable](m, part map[string]V) bool {
	for key, value := range part {
		if m[key] != value {
			return false
		}
	}
	return true
}

var summaryLine = regexp.MustCompile(`(?m)^-- ([0-9]+) Kbytes in ([0-9]+) Requests?\.\n\z`)

// summary is what the last line of "postqueue -p" says.
func summary(t *testing.T, text string) (kib, emails int64) {
	t.Helper()
	numbers := summaryLine.FindStringSubmatch(text)
	if numbers == nil {
		t.Fatalf("postqueue -p has no summary:\n%s", text)
	}
	return int64(number(t, numbers[1])), int64(number(t, numbers[2]))
}

func TestTotals(t *testing.T) {
	p, listed := startMixedQueue(t)
	checkMixedQueue(t, listed)
	for _, user := range []command{root, nobody} {
		t.Run("of all queues as "+user.user, func(t *testing.T) { testTotals(t, user, listed) })
	}
	t.Run("of some queues", func(t *testing.T) { testSomeQueues(t, listed) })
	t.Run("over UDP", func(t *testing.T) { testUDP(t, listed) })
	if diff := cmp.Diff(listed, p.list()); diff != "" {
		t.Errorf("the queue was not at rest (-before +after):\n%s", diff)
	}
}

func testTotals(t *testing.T, user command, listed listing) {
	asJSON := saveListing(t, user.run(t, postqueueProgram, "-j").stdout)
	text := user.run(t, postqueueProgram, "-p").stdout
	asText := saveListing(t, text)
	kib, emails := summary(t, text)

	for name, args := range map[string][]string{"the queue": nil, "a JSON listing": {"--input", asJSON}} {
		t.Run("check of "+name, func(t *testing.T) {
			var a answer
			ran := during(func() { a = user.check(t, args...) })
			if a.state != "OK" || a.perf["emails"] != emails || a.perf["size"]/1024 != kib {
				t.Errorf("want OK, %d emails and %d KiB as postqueue -p has them, got %s", emails, kib, a)
			}
			checkMetrics(t, a.perf, ran, listed, queueNames)
			want := fmt.Sprintf("^%d emails( to \\d+ recipients)?, %d KiB, oldest ", emails, kib)
			if !regexp.MustCompile(want).MatchString(a.text) {
				t.Errorf("got text %q, want %q", a.text, want)
			}
		})
		t.Run("statsd of "+name, func(t *testing.T) {
			var gauges map[string]int64
			ran := during(func() { gauges = user.gauges(t, args...) })
			checkMetrics(t, gauges, ran, listed, queueNames)
		})
		t.Run("Netdata of "+name, func(t *testing.T) {
			want := map[string]int64{"postfix_local.qemails emails": emails, "postfix_local.qsize size": kib}
			for _, queue := range queueNames {
				part := listed.in(queue)
				want["postfix_local.qemails_by_queue "+queue] = int64(len(part))
				want["postfix_local.qsize_by_queue "+queue] = part.sizeBytes() / 1024
			}
			if got := user.charts(t, args...); !containsAll(got, want) {
				t.Errorf("got %v, want at least %v", got, want)
			}
		})
	}
	t.Run("a text listing", func(t *testing.T) {
		// It marks active and held mail alone, and has no years.
		want := listed.metrics([]string{"active", "hold"})
		all := listed.metrics(queueNames)
		for _, total := range []string{"emails", "size", "recipients", "forced_expire"} {
			want[total] = all[total]
		}
		a := user.check(t, "--input", asText)
		if diff := cmp.Diff(want, a.perf); a.state != "OK" || diff != "" {
			t.Errorf("got %s\nmetrics (-want +got):\n%s", a, diff)
		}
		if diff := cmp.Diff(want, user.gauges(t, "--input", asText)); diff != "" {
			t.Errorf("gauges (-want +got):\n%s", diff)
		}
	})
}

func testSomeQueues(t *testing.T, listed listing) {
	tests := map[string]struct {
		args   []string
		queues []string
	}{
		"one": {
			args:   []string{"-q", "deferred"},
			queues: []string{"deferred"},
		},
		"held mail alone": {
			args:   []string{"-q", "hold"},
			queues: []string{"hold"},
		},
		"several": {
			args:   []string{"-q", "active,maildrop", "--queue=incoming"},
			queues: []string{"active", "incoming", "maildrop"},
		},
		"all but one": {
			args:   []string{"-q", "!hold"},
			queues: []string{"active", "deferred", "incoming", "maildrop"},
		},
		"all but several": {
			args:   []string{"--queue", "!hold,active"},
			queues: []string{"deferred", "incoming", "maildrop"},
		},
		"some less one of all": {
			args:   []string{"-q", "deferred,hold", "-q", "!hold"},
			queues: []string{"deferred"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var a answer
			ran := during(func() { a = nobody.check(t, test.args...) })
			if a.state != "OK" {
				t.Errorf("want OK, got %s", a)
			}
			checkMetrics(t, a.perf, ran, listed, test.queues)

			var gauges map[string]int64
			ran = during(func() { gauges = nobody.gauges(t, test.args...) })
			checkMetrics(t, gauges, ran, listed, test.queues)
		})
	}
	t.Run("a range for one that is left out", func(t *testing.T) {
		if a := nobody.check(t, "-q", "!hold", "-w", "hold=1"); a.state != "UNKNOWN" || len(a.perf) > 0 {
			t.Errorf("want UNKNOWN without performance data, got %s", a)
		}
	})
}

func testUDP(t *testing.T, listed listing) {
	receiver := newUDPReceiver(t)
	settings := []string{"STATSD_HOST=127.0.0.1", fmt.Sprint("STATSD_PORT=", receiver.port)}
	environment := command{user: "nobody", env: settings}
	for name, test := range map[string]struct {
		as command
		to string
	}{
		"an address":      {nobody, receiver.target()},
		"the environment": {environment, "udp://"},
	} {
		t.Run("to "+name, func(t *testing.T) {
			var r result
			ran := during(func() { r = test.as.emit(t, "-f", "statsd", "--to", test.to) })
			if r.exitCode != 0 || r.stdout != "" || r.stderr != "" {
				t.Errorf("want success without a word, got %s", r)
			}
			checkMetrics(t, parseGauges(t, strings.Join(receiver.received(), "")), ran, listed, queueNames)
		})
	}
	t.Run("dry run", func(t *testing.T) {
		r := nobody.emit(t, "-f", "statsd", "--to", receiver.target(), "--dry-run")
		got := receiver.received()
		if r.exitCode != 0 || !strings.Contains(r.stdout, receiver.target()) || len(got) != 0 {
			t.Errorf("want the target %s named and no datagrams, got %q and %s", receiver.target(), got, r)
		}
	})
}

func TestTotalsOfAnEmptyQueue(t *testing.T) {
	startPostfix(t)
	for _, user := range []command{root, nobody} {
		t.Run("as "+user.user, func(t *testing.T) {
			asText := saveListing(t, user.run(t, postqueueProgram, "-p").stdout)
			asJSON := saveListing(t, user.run(t, postqueueProgram, "-j").stdout)
			wantEmpty := func(a answer, labels int) {
				t.Helper()
				if a.state != "OK" || a.text != "queue is empty" || len(a.perf) != labels {
					t.Errorf("want OK, queue is empty, and %d labels; got %s", labels, a)
				}
			}

			var a answer
			ran := during(func() { a = user.check(t, "-w", "0", "-c", "0") })
			wantEmpty(a, 20)
			checkMetrics(t, a.perf, ran, nil, queueNames)
			checkMetrics(t, user.gauges(t), ran, nil, queueNames)
			wantEmpty(user.check(t, "--input", asText), 8)

			// Zero bytes are also what a command leaves behind that failed.
			wantEmpty(user.check(t, "--input", asJSON, "--allow-empty"), 20)
			if a := user.check(t, "--input", asJSON); a.state != "UNKNOWN" || len(a.perf) > 0 {
				t.Errorf("want UNKNOWN without performance data, got %s", a)
			}
		})
	}
	t.Run("that should not be", func(t *testing.T) {
		if a := nobody.check(t, "-c", "1:"); a.state != "CRITICAL" || len(a.perf) != 20 {
			t.Errorf("want CRITICAL with performance data, got %s", a)
		}
	})
}
