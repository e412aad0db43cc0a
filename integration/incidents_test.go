//go:build integration

package integration

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// An incident is what an administrator is woken for. All texts are regular expressions.
type incident struct {
	name     string
	section  string // of docs/diagnosis.md; empty: the name
	settings []string
	happens  func(t *testing.T, l *lab)
	args     []string // of the check; -c 4 if nil
	line1    string   // what line 1 says to root, and from root's snapshot
	user     string   // what it says to an ordinary user; line1 if empty
	rows     []string // what -vv says in each view
	rootRows []string // what only root sees, and who reads root's snapshot
}

// Columns of the table of problems.
const (
	age  = `\S+(?: \S+)?`
	ages = ` +` + age + ` +` + age + ` +`
)

// to is a mail from one user to one recipient.
func to(recipient string) mail { return mail{from: "a@isp.example", to: []string{recipient}} }

func problem(emails, recipients, domains int, why string) string {
	return fmt.Sprintf("(?m)^ *%d +%d +%d%s%s", emails, recipients, domains, ages, why)
}

var incidents = []incident{
	{
		name: "one account sends 3,000 mails beside 200 of others",
		happens: func(_ *testing.T, l *lab) {
			l.dns.mail(".d.example", "mx1.bigprov.example", "127.0.0.11", "mx2.bigprov.example", "127.0.0.12")
			for _, address := range []string{"127.0.0.11:25", "127.0.0.12:25"} {
				newSMTPServerAt(l.t, address).greet("421 4.7.28 Our system has detected an unusual rate of mail")
			}
			list := mails(3000, func(i int) mail {
				return mail{
					from: fmt.Sprintf("x%d@random%d.example", i, i), to: []string{fmt.Sprintf("r%d@p%d.d.example", i, i%100)},
					login: "anna.schmidt@isp.example", client: fmt.Sprintf("198.51.100.%d", i%3),
				}
			})
			list = append(list, mails(200, func(i int) mail {
				user := fmt.Sprintf("user%d@isp.example", i%40)
				return mail{
					from: user, to: []string{fmt.Sprintf("r%d@p%d.d.example", i, i%100)},
					login: user, client: fmt.Sprintf("192.0.2.%d", i%40),
				}
			})...)
			l.defers(list)
		},
		line1: `^3200 emails \(above 4\), .*; about 9\d% from one login; ` +
			`nearly all: mx2[.]bigprov[.]example rate limited \(421 4[.]7[.]28\)$`,
		user: `^3200 emails \(above 4\), .*; nearly all: mx2[.]bigprov[.]example rate limited \(421 4[.]7[.]28\)$`,
		rows: []string{problem(3200, 3200, 100, `mx2[.]bigprov[.]example 421 4[.]7[.]28 rate limited`)},
		rootRows: []string{
			`(?m)^ *3000 +94%  login anna[.]schmidt@isp[.]example, 3 clients, 3000 sender domains$`,
			`(?m)^act +postfix_queue_emit -f ids --login =anna[.]schmidt@isp[.]example +\(piped into postsuper -h - it`,
		},
	},
	{
		name: "a provider limits 1,500 mails to 300 domains",
		happens: func(_ *testing.T, l *lab) {
			l.dns.mail(".d.example", "mx1.bigprov.example", "127.0.0.11")
			newSMTPServerAt(l.t, "127.0.0.11:25").greet("421 4.7.28 [203.0.113.1] Too much mail from your network")
			l.dns.mail("fine.example", "mx.fine.example", "127.0.0.12")
			l.defers(mails(1500, func(i int) mail {
				return mail{from: fmt.Sprintf("u%d@isp.example", i), to: []string{fmt.Sprintf("r%d@p%d.d.example", i, i%300)}}
			}))
		},
		line1: `nearly all: mx1[.]bigprov[.]example rate limited \(421 4[.]7[.]28\)$`,
		rows: []string{
			problem(1500, 1500, 300, `mx1[.]bigprov[.]example 421 4[.]7[.]28 rate limited.*: [*] Too much mail from your`),
			`(?m)^1500 recipients in 300 domains, none above 5$`,
		},
	},
	{
		name:     "the smart host is down",
		settings: []string{"relayhost=[smarthost.isp.example]:587"},
		happens: func(_ *testing.T, l *lab) {
			l.dns.mail("isp.example", "smarthost.isp.example", "127.0.0.13")
			l.defers(mails(20, func(i int) mail { return to(fmt.Sprintf("r@d%d.example", i)) }))
		},
		line1: `all: smarthost[.]isp[.]example:587 connection refused$`,
		rows:  []string{problem(20, 20, 20, `smarthost[.]isp[.]example:587 connection refused`)},
	},
	{
		name: "no DNS",
		happens: func(_ *testing.T, l *lab) {
			l.dns.fail()
			l.defers(mails(20, func(i int) mail { return to(fmt.Sprintf("r@d%d.example", i)) }))
		},
		line1: `all: host not found in many domains$`,
		rows:  []string{problem(20, 20, 20, `host not found, .*resolver`)},
	},
	{
		name:     "a content filter is down",
		settings: []string{"content_filter=smtp:[127.0.0.1]:10024"},
		happens: func(_ *testing.T, l *lab) {
			l.defers(mails(20, func(i int) mail { return to(fmt.Sprintf("r@d%d.example", i)) }))
		},
		line1: `all: 127[.]0[.]0[.]1:10024 connection refused$`,
		rows:  []string{problem(20, 20, 20, `127[.]0[.]0[.]1:10024 connection refused`)},
	},
	{
		name:     "a transport was removed",
		settings: []string{"content_filter=smtp-amavis:[127.0.0.1]:10024"},
		happens: func(_ *testing.T, l *lab) {
			l.defers(mails(20, func(i int) mail { return to(fmt.Sprintf("r@d%d.example", i)) }))
		},
		line1:    `all: smtp-amavis:\[127[.]0[.]0[.]1\]:10024 transport`,
		user:     `all: transport`,
		rows:     []string{problem(20, 20, 20, `.*mail transport unavailable`)},
		rootRows: []string{problem(20, 20, 20, `smtp-amavis:\[127[.]0[.]0[.]1\]:10024 transport`)},
	},
	{
		name:     "a transport of a FILTER action was removed",
		section:  "a transport was removed",
		settings: []string{"smtpd_sender_restrictions=check_sender_access static:{FILTER smtp-amavis:[127.0.0.1]:10024}"},
		happens: func(_ *testing.T, l *lab) {
			l.defers(mails(20, func(i int) mail {
				m := to(fmt.Sprintf("r@d%d.example", i))
				m.sizeBytes = 20_000 // the filter is behind them
				return m
			}))
		},
		line1:    `all: smtp-amavis:\[127[.]0[.]0[.]1\]:10024 transport`,
		user:     `all: transport`,
		rows:     []string{problem(20, 20, 20, `.*mail transport unavailable`)},
		rootRows: []string{problem(20, 20, 20, `smtp-amavis:\[127[.]0[.]0[.]1\]:10024 transport`)},
	},
	{
		name:     "a socket is missing",
		settings: []string{"default_transport=lmtp:unix:private/dovecot-lmtp"},
		happens: func(_ *testing.T, l *lab) {
			l.defers(mails(20, func(i int) mail { return to(fmt.Sprintf("r%d@isp.example", i)) }))
		},
		line1: `all: private/dovecot-lmtp `,
		rows:  []string{problem(20, 20, 1, `private/dovecot-lmtp .*: No such file or directory`)},
	},
	{
		name:     "a milter fails for local mail",
		settings: []string{"non_smtpd_milters=inet:127.0.0.1:1", "milter_default_action=tempfail"},
		happens: func(_ *testing.T, l *lab) {
			for range 5 {
				l.sendmail(mail{from: "a@isp.example", to: []string{"r@d.example"}})
			}
			time.Sleep(stuckWait)
		},
		args:  []string{"-c", "100", stuckAfter, inTime},
		line1: `^local mail is not taken up: 5 in maildrop, oldest \d+s \(pickup, cleanup or a milter\)`,
		user:  `; 5 in maildrop, oldest \d+s$`,
		rows:  []string{problem(5, 5, 1, `.*maildrop`)},
	},
	{
		name:     "the active queue is full",
		settings: []string{"qmgr_message_active_limit=5", "qmgr_message_recipient_limit=5"},
		happens: func(_ *testing.T, l *lab) {
			l.dns.mail("slow.example", "mx.slow.example", "127.0.0.11")
			newSMTPServerAt(l.t, "127.0.0.11:25").answer("slow.example", hang)
			l.sendAll(mails(20, func(i int) mail { return to(fmt.Sprintf("r%d@slow.example", i)) }))
			time.Sleep(stuckWait)
		},
		args:  []string{"-c", "100", stuckAfter, inTime},
		line1: `^the active queue is full \(5\), 15 in incoming, oldest \d+s`,
		user:  `^20 emails, `, // a listing does not say since when they wait there
		rows:  []string{`(?m)^slow[.]example +20 `},
	},
	{
		name: "backscatter",
		happens: func(_ *testing.T, l *lab) {
			l.dns.mail(".d.example", "mx.d.example", "127.0.0.13")
			l.defers(mails(60, func(i int) mail {
				return mail{to: []string{fmt.Sprintf("r%d@p%d.d.example", i, i)}}
			}))
			l.defers(mails(20, func(i int) mail {
				return mail{from: fmt.Sprintf("u%d@isp.example", i), to: []string{fmt.Sprintf("r%d@p%d.d.example", i, i)}}
			}))
		},
		line1:    `; 75% without a sender: bounces, mostly; all: mx[.]d[.]example:25 connection refused$`,
		rows:     []string{`(?m)^ *60 +75%  no sender: bounces, mostly`},
		rootRows: []string{`(?m)^act +postfix_queue_emit -f ids --sender =MAILER-DAEMON `},
	},
	{
		name: "a newsletter to 5,000 recipients, part of it delivered",
		happens: func(_ *testing.T, l *lab) {
			l.dns.mail("done.example", "mx.done.example", "127.0.0.11")
			l.dns.mail("slow.example", "mx.slow.example", "127.0.0.12")
			newSMTPServerAt(l.t, "127.0.0.11:25")
			newSMTPServerAt(l.t, "127.0.0.12:25").answer("slow.example", "450 4.2.1 Try again later")
			news := mail{from: "news-bounce@isp.example"}
			for i := range 2000 {
				news.to = append(news.to, fmt.Sprintf("r%d@done.example", i))
			}
			for i := range 3000 {
				news.to = append(news.to, fmt.Sprintf("r%d@slow.example", i))
			}
			l.sendAll([]mail{news})
			waitFor(l.t, "3000 recipients", func() (bool, any) {
				a := root.check(l.t)
				return a.perf["deferred"] == 1 && a.perf["recipients"] == 3000, a
			})
		},
		args:     []string{"-c", "recipients=1000"},
		line1:    `^3000 recipients \(above 1000\), 1 email to 3000 recipients, .*; all: mx[.]slow[.]example `,
		rows:     []string{problem(1, 3000, 1, `mx[.]slow[.]example 450 4[.]2[.]1 `)},
		rootRows: []string{`(?m)^largest +1 email of news-bounce@isp[.]example \(\w+\): 2000 of 5000 delivered$`},
	},
	{
		name: "mail has been on hold for weeks",
		happens: func(_ *testing.T, l *lab) {
			l.dns.mail("d.example", "mx.d.example", "127.0.0.13")
			l.defers(mails(60, func(i int) mail { return to(fmt.Sprintf("r%d@d.example", i)) }))
			l.hold(l.queueIDs("deferred")...)
			l.moveArrivals("hold", 25*24*time.Hour)
			l.defers(mails(12, func(i int) mail { return to(fmt.Sprintf("r%d@d.example", i)) }))
		},
		args:  []string{"-c", "500"},
		line1: `^72 emails, .*; 60 on hold, oldest 25d$`,
		rows: []string{
			problem(60, 60, 1, `on hold, before that: mx[.]d[.]example:25 connection refused`),
			problem(12, 12, 1, `mx[.]d[.]example:25 connection refused`),
		},
	},
	{
		name: "one mailbox is full",
		happens: func(_ *testing.T, l *lab) {
			l.dns.mail("full.example", "mx.full.example", "127.0.0.11")
			newSMTPServerAt(l.t, "127.0.0.11:25").answer("full.example", "452 4.2.2 Mailbox full")
			l.defers(mails(800, func(i int) mail {
				return mail{from: fmt.Sprintf("u%d@d%d.example", i, i%50), to: []string{"bob@full.example"}}
			}))
		},
		line1: `; all: mx[.]full[.]example mailbox or disk full \(452 4[.]2[.]2\)$`,
		rows: []string{
			problem(800, 800, 1, `mx[.]full[.]example 452 4[.]2[.]2 mailbox or disk full.*, all for bob@full[.]example`),
		},
	},
	{
		name: "three TLS faults at once",
		settings: []string{
			"smtp_tls_policy_maps=inline:{none.example=encrypt, cut.example=encrypt, bad.example=secure}",
		},
		happens: func(_ *testing.T, l *lab) {
			for domain, address := range map[string]string{"none": "127.0.0.11", "cut": "127.0.0.12", "bad": "127.0.0.13"} {
				l.dns.mail(domain+".example", "mx."+domain+".example", address)
				server := newSMTPServerAt(l.t, address+":25")
				switch domain {
				case "cut":
					server.offerTLS(&tls.Config{}) // without a certificate no handshake ends
				case "bad":
					server.offerTLS(selfSigned(l.t))
				}
			}
			for n, domain := range map[int]string{10: "none", 20: "cut", 30: "bad"} {
				l.defers(mails(n, func(i int) mail { return to(fmt.Sprintf("r%d@%s.example", i, domain)) }))
			}
		},
		line1: `; 50% TLS$`,
		rows: []string{
			problem(10, 10, 1, `mx[.]none[.]example TLS.*not offered`),
			problem(20, 20, 1, `.*TLS.*all for cut[.]example: Cannot start TLS`),
			problem(30, 30, 1, `TLS.*all for bad[.]example: Server certificate not (trusted|verified)`),
		},
	},
	{
		name: "greylisting beside a missing PTR",
		happens: func(_ *testing.T, l *lab) {
			l.dns.mail("grey.example", "mx.both.example", "127.0.0.11")
			l.dns.mail("strict.example", "mx.both.example", "127.0.0.11")
			server := newSMTPServerAt(l.t, "127.0.0.11:25")
			server.answer("grey.example", "450 4.7.1 Greylisted, try again in 300 seconds")
			server.answer("strict.example", "450 4.7.1 Client host rejected: cannot find your hostname, [203.0.113.25]")
			l.defers(mails(10, func(i int) mail { return to(fmt.Sprintf("r%d@grey.example", i)) }))
			l.defers(mails(12, func(i int) mail { return to(fmt.Sprintf("r%d@strict.example", i)) }))
		},
		line1: `; 54% mx[.]both[.]example blocked \(450 4[.]7[.]1\)$`,
		rows: []string{
			problem(10, 10, 1, `mx[.]both[.]example 450 4[.]7[.]1 greylisted, clears itself`),
			problem(12, 12, 1, `mx[.]both[.]example 450 4[.]7[.]1 blocked`),
		},
	},
	{
		name: "a clock that was wrong",
		happens: func(_ *testing.T, l *lab) {
			l.dns.mail("d.example", "mx.d.example", "127.0.0.13")
			l.defers(mails(15, func(i int) mail { return to(fmt.Sprintf("r%d@d.example", i)) }))
			l.moveArrivals("deferred", -24*time.Hour)
		},
		line1: `; 15 arrivals lie in the future: see the clock$`,
		rows:  []string{problem(15, 15, 1, `mx[.]d[.]example:25 connection refused`)},
	},
	{
		name: "two kinds of loop",
		happens: func(_ *testing.T, l *lab) {
			l.dns.mail("self.example", "mail.example.org", "127.0.0.1")
			l.dns.mail("hops.example", "mx.hops.example", "127.0.0.11")
			server := newSMTPServerAt(l.t, "127.0.0.11:25")
			server.refuseMessages("554 5.4.0 Error: too many hops")
			l.defers(mails(6, func(i int) mail { return to(fmt.Sprintf("r%d@self.example", i)) }))
			l.defers(mails(4, func(i int) mail { return to(fmt.Sprintf("r%d@hops.example", i)) }))
		},
		line1: `; 60% .*loop$`,
		rows: []string{
			problem(6, 6, 1, `.*loop.*: mail for [*] loops back to myself`),
			problem(4, 4, 1, `mx[.]hops[.]example 554 5[.]4[.]0 .*loop.*: Error: too many hops`),
		},
	},
}

// TestActLine types what the check says to do about one account's mail into a shell.
func TestActLine(t *testing.T) {
	l := startLab(t)
	l.dns.mail(".d.example", "mx.d.example", "127.0.0.13")
	isAnnas := func(i int) bool { return i%5 > 0 }
	l.defers(mails(300, func(i int) mail {
		m := mail{
			from: fmt.Sprintf("x%d@r%d.example", i, i), to: []string{fmt.Sprintf("r@p%d.d.example", i)}, client: "192.0.2.1",
		}
		if m.login = "anna.schmidt@isp.example"; !isAnnas(i) {
			m.login = fmt.Sprintf("hanna.schmidt%d@isp.example", i)
		}
		return m
	}))
	r := root.run(t, program(t, checkProgram), "-c", "4", "-vv")
	act := regexp.MustCompile(`(?m)^act +(postfix_queue_emit [^(]+?) +\(piped into (postsuper -h -) it holds them; .*\)$`)
	commands := act.FindStringSubmatch(r.stdout)
	if commands == nil {
		t.Fatal(r)
	}
	path := "PATH=" + filepath.Dir(program(t, emitterProgram)) + ":/usr/sbin:/usr/bin:/sbin:/bin; "
	l.must(root.run(t, "sh", "-c", path+commands[1]+" | "+commands[2]))
	listed := l.list()
	for _, m := range listed {
		var i int
		if _, err := fmt.Sscanf(m.Sender, "x%d@", &i); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]string{true: "hold", false: "deferred"}[isAnnas(i)]; m.Queue != want {
			t.Errorf("%s of %s is in %s, want %s", m.ID, m.Sender, m.Queue, want)
		}
	}
	if len(listed) != 300 {
		t.Errorf("%d messages", len(listed))
	}
}

// TestIncidents makes incidents happen on a real Postfix, and reads what the check says: in one line, and with -vv.
func TestIncidents(t *testing.T) {
	for _, i := range incidents {
		t.Run(i.name, func(t *testing.T) {
			l := startLab(t, i.settings...)
			i.happens(t, l)
			args := i.args
			if args == nil {
				args = []string{"-c", "4"}
			}
			snapshot := filepath.Join(publicTempDir(t), "snapshot.json")
			emitArgs := []string{"-f", "json", "--breakdown", "--to", snapshot}
			for _, arg := range args {
				if arg == stuckAfter {
					emitArgs = append(emitArgs, stuckAfter)
				}
			}
			if r := root.emit(t, emitArgs...); r.exitCode != 0 {
				t.Fatal(r)
			}
			for _, view := range []struct {
				name  string
				user  command
				args  []string
				line1 string
				rows  []string
			}{
				{"root", root, args, i.line1, append(i.rootRows, i.rows...)},
				{"an ordinary user", nobody, args, cmp.Or(i.user, i.line1), i.rows},
				{"a snapshot", root, append([]string{"-i", snapshot}, args[:2]...), i.line1, append(i.rootRows, i.rows...)},
			} {
				t.Run(view.name, func(t *testing.T) {
					first := view.user.check(t, view.args...)
					if !regexp.MustCompile(view.line1).MatchString(first.text) {
						t.Errorf("line 1 is  %s\nwant      %s", first.text, view.line1)
					}
					r := view.user.run(t, program(t, checkProgram), append(view.args, "-vv")...)
					for _, row := range view.rows {
						if !regexp.MustCompile(row).MatchString(r.stdout) {
							t.Errorf("no %s in\n%s", row, r.stdout)
						}
					}
					if view.name == "root" {
						verifyDiagnosis(t, cmp.Or(i.section, i.name), r.stdout)
					}
					if len(r.stdout) > 6000 {
						t.Errorf("%d bytes", len(r.stdout))
					}
				})
			}
		})
	}
}
