//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestWhatIsStuckAndWhy makes Postfix defer mail for every kind of reason that can be caused on one machine,
// and reads why from each source.
func TestWhatIsStuckAndWhy(t *testing.T) {
	greylisting, full, limiting := newSMTPServer(t), newSMTPServer(t), newSMTPServer(t)
	plain, silent := newSMTPServer(t), newSMTPServer(t)
	greylisting.answer("greylisted.example", "450 4.2.0 Recipient address rejected: Greylisted")
	full.answer("full.example", "452 4.2.2 Mailbox full")
	limiting.greet("421 4.7.0 Too many connections, come back later")
	silent.greet(hang)
	next := map[string]string{
		"refused.example":    "smtp:[127.0.0.1]:1",
		"greylisted.example": greylisting.transport(),
		"full.example":       full.transport(),
		"limited.example":    limiting.transport(),
		"unknown.example":    "smtp:[no-such-host.invalid]:25", // before 3.6, "smtp" is not known in a bare chroot
		"secure.example":     plain.transport(),
		"silent.example":     silent.transport(),
	}
	var table []string
	for domain, transport := range next {
		table = append(table, domain+"="+transport)
	}
	plainHop := strings.TrimPrefix(plain.transport(), "smtp:")
	p := startPostfix(t, "defer_transports=", "smtp_helo_timeout=1s",
		"transport_maps=inline:{"+strings.Join(table, ", ")+"}",
		"smtp_tls_policy_maps=inline:{secure.example=encrypt, "+plainHop+"=encrypt}")
	counts := map[string]int{
		"refused.example": 80, "greylisted.example": 70, "full.example": 60, "limited.example": 50,
		"unknown.example": 40, "secure.example": 30, "silent.example": 3, "held.example": 20,
	}
	total := 0
	for domain, n := range counts {
		for i := range n {
			from, to := fmt.Sprintf("sender@%d.senders.example", i%2), fmt.Sprintf("a%d@%s", i, domain)
			p.send(mail{from: from, to: []string{to}})
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

	const ages = ` +\S+( \S+)? +\S+( \S+)? +`
	row := func(emails, recipients, domains int, why string) *regexp.Regexp {
		return regexp.MustCompile(fmt.Sprintf("(?m)^ *%d +%d +%d%s%s", emails, recipients, domains, ages, why))
	}
	want := []*regexp.Regexp{
		row(80, 80, 1, "127[.]0[.]0[.]1:1 connection refused"),
		row(70, 70, 1, "127[.]0[.]0[.]1 450 4[.]2[.]0 greylisted.*: Recipient address rejected: Greylisted$"),
		row(60, 60, 1, "127[.]0[.]0[.]1 452 4[.]2[.]2 mailbox or disk full.*: Mailbox full$"),
		row(50, 50, 1, "127[.]0[.]0[.]1 421 4[.]7[.]0 .*rate limited.*: Too many connections, come back later$"),
		row(40, 40, 1, "no-such-host[.]invalid host not found"),
		row(30, 30, 1, "127[.]0[.]0[.]1 TLS.*: TLS is required, but was not offered by host [*]$"),
		row(3, 3, 1, "127[.]0[.]0[.]1 connection timed out.*: conversation with [*] timed out while receiving the "+
			"initial server greeting$"),
		regexp.MustCompile(`(?m)^ *\d+ +\d+ +1` + ages + "on hold"), // some had not been tried
		regexp.MustCompile(`(?m)^ +177 +50%  sender domain 0[.]senders[.]example(, 1 client)?$`),
		regexp.MustCompile(`(?m)^ +176 +50%  sender domain 1[.]senders[.]example(, 1 client)?$`),
	}
	counts["TOTAL"] = total
	var withAges, withoutAges []string // all of the mail is younger than five minutes
	for domain, n := range counts {
		line := fmt.Sprintf("%-18s %3d", domain, n)
		withoutAges = append(withoutAges, line+"\n")
		withAges = append(withAges, fmt.Sprintf("%s %3d  0  0  0  0   0   0   0    0     0\n", line, n))
	}
	dir := publicTempDir(t)
	json, text := filepath.Join(dir, "listing.json"), filepath.Join(dir, "listing.txt")
	snapshot := filepath.Join(dir, "snapshot.json")
	for path, option := range map[string]string{json: "-j", text: "-p"} {
		if err := os.WriteFile(path, []byte(p.must(p.postqueue(option)).stdout), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p.must(root.emit(t, "-f", "json", "--breakdown", "--to", snapshot))
	tables := map[string]string{}
	for _, args := range [][]string{
		{"--source", "spool"}, {"--source", "showq"}, {"--source", "postqueue"},
		{"-i", json}, {"-i", text}, {"-i", snapshot},
	} {
		t.Run(strings.TrimPrefix(filepath.Base(args[1]), "--"), func(t *testing.T) {
			got := runAs(t, "root", program(t, "check_postfix_queue"), append(args, "-vv")...)
			rows := withAges
			if args[1] == text {
				rows = withoutAges
			}
			for _, line := range rows {
				if !strings.Contains(got.stdout, "\n"+line) {
					t.Errorf("no line %q in\n%v", line, got)
				}
			}
			for _, line := range want {
				if !line.MatchString(got.stdout) {
					t.Errorf("no line %s in\n%v", line, got)
				}
			}
			if args[1] != text { // which does not tell queues apart
				tables[args[1]] = problemTable(got.stdout)
			}
		})
	}
	for source, table := range tables {
		if table != tables["spool"] || table == "" {
			t.Errorf("%s has\n%s\nand spool has\n%s", source, table, tables["spool"])
		}
	}
	got := runAs(t, "nobody", program(t, "check_postfix_queue"),
		"--recipient", "@refused.example$", "--sender", "!@1[.]senders",
		"-c", "39", "-c", "deferred_connection_refused=100")
	if !strings.Contains(got.stdout, "CRITICAL - 40 emails (above 39)") ||
		!strings.Contains(got.stdout, "deferred_connection_refused=40;") {
		t.Errorf("filtered: %v", got)
	}
}

// problemTable returns the table of problems in the output of the check, without the ages, which the time of the run
// decides.
func problemTable(output string) string {
	row := regexp.MustCompile(`(?m)^ *(\d+ +\d+ +\d+) +(?:-|\d+\w(?: \d+\w)?) +(?:-|\d+\w(?: \d+\w)?) +(.*)$`)
	_, table, _ := strings.Cut(output, "\nemails  rcpts domains ")
	table, _, _ = strings.Cut(table, "\nqueue  ")
	var lines []string
	for _, m := range row.FindAllStringSubmatch(table, -1) {
		lines = append(lines, m[1]+" "+m[2])
	}
	return strings.Join(lines, "\n")
}
