//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatIsStuckAndWhy makes Postfix defer mail for every kind of reason that it can be given on one
// machine, and reads why from each source.
func TestWhatIsStuckAndWhy(t *testing.T) {
	greylisting, full, limiting, plain, silent := newSMTPServer(t), newSMTPServer(t), newSMTPServer(t), newSMTPServer(t), newSMTPServer(t)
	greylisting.answer("greylisted.example", "450 4.2.0 Recipient address rejected: Greylisted")
	full.answer("full.example", "452 4.2.2 Mailbox full")
	limiting.greet("421 4.7.0 Too many connections, come back later")
	silent.greet(hang)
	next := map[string]string{
		"refused.example":    "smtp:[127.0.0.1]:1",
		"greylisted.example": greylisting.transport(),
		"full.example":       full.transport(),
		"limited.example":    limiting.transport(),
		"unknown.example":    "smtp:[no-such-host.invalid]",
		"secure.example":     plain.transport(),
		"silent.example":     silent.transport(),
	}
	var table []string
	for domain, transport := range next {
		table = append(table, domain+"="+transport)
	}
	p := startPostfix(t, "defer_transports=", "smtp_helo_timeout=1s", "transport_maps=inline:{"+strings.Join(table, ", ")+"}",
		"smtp_tls_policy_maps=inline:{secure.example=encrypt, ["+strings.TrimPrefix(plain.transport(), "smtp:[")+"=encrypt}")
	counts := map[string]int{
		"refused.example": 40, "greylisted.example": 35, "full.example": 30, "limited.example": 25,
		"unknown.example": 20, "secure.example": 15, "silent.example": 3, "held.example": 10,
	}
	total := 0
	for domain, n := range counts {
		for i := range n {
			p.send(mail{from: fmt.Sprintf("sender@%d.senders.example", i%2), to: []string{fmt.Sprintf("a%d@%s", i, domain)}})
			total++
		}
	}
	p.waitQueue(func(l listing) bool { return len(l) == total && len(l.in("deferred")) == total })
	var held []string
	for _, m := range p.list() {
		if strings.HasSuffix(m.Recipients[0].Address, "@held.example") {
			held = append(held, m.ID)
		}
	}
	p.hold(held...)

	want := []string{
		"    40  connection refused: connect to 127.0.0.1[127.0.0.1]:1: Connection refused",
		"    60  greylisted or rate limited: host 127.0.0.1[127.0.0.1] said: 450 4.2.0 Recipient address rejected: Greylisted (in reply to RCPT TO command)",
		"    30  mailbox or disk full: host 127.0.0.1[127.0.0.1] said: 452 4.2.2 Mailbox full (in reply to RCPT TO command)",
		"    20  host not found: ",
		"    15  TLS: TLS is required, but was not offered by host 127.0.0.1[127.0.0.1]",
		"     3  connection timed out: conversation with 127.0.0.1[127.0.0.1] timed out while receiving the initial server greeting",
		"    10  on hold",
		"refused.example     40  40  0  0  0  0   0   0   0    0     0",
	}
	dir := publicTempDir(t)
	json, snapshot := filepath.Join(dir, "listing.json"), filepath.Join(dir, "snapshot.json")
	if err := os.WriteFile(json, []byte(p.must(p.postqueue("-j")).stdout), 0o644); err != nil {
		t.Fatal(err)
	}
	p.must(runAs(t, "root", program(t, "postfix_queue_emit"), "-f", "json", "--breakdown", "--to", snapshot))
	for _, args := range [][]string{
		{"--source", "spool"}, {"--source", "showq"}, {"--source", "postqueue"}, {"-i", json}, {"-i", snapshot},
	} {
		t.Run(strings.TrimPrefix(filepath.Base(args[1]), "--"), func(t *testing.T) {
			got := runAs(t, "root", program(t, "check_postfix_queue"), append(args, "-vv")...)
			for _, line := range want {
				if !strings.Contains(got.stdout, "\n"+line) {
					t.Errorf("no line %q in\n%v", line, got)
				}
			}
		})
	}
	got := runAs(t, "nobody", program(t, "check_postfix_queue"), "--recipient", "@refused.example$", "--sender", "!@1[.]senders", "-c", "19", "-c", "deferred_connection_refused=100")
	if !strings.Contains(got.stdout, "CRITICAL - 20 emails (above 19)") || !strings.Contains(got.stdout, "deferred_connection_refused=20;") {
		t.Errorf("filtered: %v", got)
	}
}
