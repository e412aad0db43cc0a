//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const qshapeProgram = "/usr/sbin/qshape"

// A shape is a table of qshape: counts by domain, in all and for each of its ten classes of age.
type shape map[string][11]int

const totalRow, othersRow = "TOTAL", "(others)"

// qshapeDifferences are the domains whose recipients qshape counts in another way, and why.
var qshapeDifferences = map[string]struct {
	qshape, ours int
	why          string
}{
	"forced.example":   {0, 1, "it passes over files with the mode that postsuper -e sets"},
	"twice.example":    {2, 1, "a recipient that two aliases lead to counts twice"},
	"redirect.example": {0, 1, "it does not read defer logs, which alone have the recipient that REDIRECT names"},
}

// TestQshape compares the tables of recipients and senders with qshape's of the same queue.
func TestQshape(t *testing.T) {
	needFiles(t, "postfix", qshapeProgram)
	redirects := writeConfig(t, "redirects", "/@redirected\\.example$/ REDIRECT x@redirect.example\n")
	aliases := writeConfig(t, "aliases", "/^[ab]@alias\\.example$/ x@twice.example\n")
	l := startLab(t, "virtual_alias_maps=regexp:"+aliases, "smtpd_recipient_restrictions=check_recipient_access regexp:"+
		redirects+",permit_mynetworks,reject")
	l.dns.mail("done.example", "mx.done.example", "127.0.0.12")
	newSMTPServerAt(t, "127.0.0.12:25")
	list := mails(120, func(i int) mail {
		m := mail{from: fmt.Sprintf("%d@s%d.example", i, i%7)}
		for j := range 1 + i%3 {
			m.to = append(m.to, fmt.Sprintf("r%d@D%d.example", j, (i*i+j)%9))
		}
		return m
	})
	list = append(list,
		mail{from: "", to: []string{"null@d1.example"}},
		mail{from: "a@done.example", to: []string{"r@done.example", "r@D2.example"}},
		mail{from: "a@s1.example", to: []string{"a@alias.example", "b@alias.example"}},
		mail{from: "a@s1.example", to: []string{"r@redirected.example"}},
		mail{from: "forced@s1.example", to: []string{"r@forced.example"}},
	)
	l.defers(list)
	minutes := []int{2, 7, 15, 30, 60, 120, 240, 480, 960, 2000} // each in a class of its own
	for i, m := range l.list() {
		l.backdate(m.ID, time.Duration(minutes[i%len(minutes)])*time.Minute)
		if m.Sender == "forced@s1.example" {
			l.forceExpire(m.ID)
		}
	}
	// Those without a number in their senders stay where they are.
	var ordinary []string
	for _, m := range l.list() {
		if regexp.MustCompile(`^\d`).MatchString(m.Sender) {
			ordinary = append(ordinary, m.ID)
		}
	}
	l.hold(ordinary[:30]...)
	l.disableService("pickup/unix")
	l.reload()
	l.sendmail(mail{from: "a@s3.example", to: []string{"r@d1.example", "q@d5.example"}})

	spool := copyOfSpool(t)
	for i, id := range ordinary[30:70] {
		parsed, err := parseQueueID(id)
		if err != nil {
			t.Fatal(err)
		}
		queue := []string{"active", "incoming"}[i%2]
		file := filepath.Join(spool, "deferred", parsed.hash()[:1], id)
		if err := os.Rename(file, filepath.Join(spool, queue, id)); err != nil {
			t.Fatal(err)
		}
	}
	for _, queues := range []string{
		"deferred", "hold", "active,incoming", "active,deferred,hold,incoming",
	} {
		t.Run(queues, func(t *testing.T) {
			var dirs []string
			for queue := range strings.SplitSeq(queues, ",") {
				dirs = append(dirs, filepath.Join(spool, queue))
			}
			args := []string{"--queue-directory", spool, "-q", queues}
			want := qshape(t, dirs...)
			got, senders := snapshotShapes(t, args)
			verifyTable(t, got, root.check(t, append(args, "-vv")...).stdout)
			for domain, difference := range qshapeDifferences {
				expected := [2]int{}
				if strings.Contains(queues, "deferred") {
					expected = [2]int{difference.qshape, difference.ours}
				}
				if counts := [2]int{want[domain][0], got[domain][0]}; counts != expected {
					t.Errorf("%s: %v by qshape and us, want %v: %s", domain, counts, expected, difference.why)
				}
				delete(want, domain)
				delete(got, domain)
			}
			for _, table := range []shape{want, got} {
				delete(table, totalRow)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("recipients (-qshape +ours):\n%s", diff)
			}
			wantSenders := make(map[string]int)
			for domain, counts := range qshape(t, append([]string{"-s"}, dirs...)...) {
				wantSenders[domain] = counts[0]
			}
			delete(wantSenders, totalRow)
			if strings.Contains(queues, "deferred") {
				wantSenders["s1.example"]++ // that is forced to expire
			}
			if diff := cmp.Diff(wantSenders, senders); diff != "" {
				t.Errorf("messages by sender domain (-qshape +ours):\n%s", diff)
			}
		})
	}
	// qshape expects another record at the beginning of a file in maildrop, and complains in Perl's words.
	r := root.run(t, qshapeProgram, filepath.Join(spool, "maildrop"))
	got, _ := snapshotShapes(t, []string{"--queue-directory", spool, "-q", "maildrop"})
	if got[totalRow][0] != 2 || !strings.Contains(r.stderr, "uninitialized") {
		t.Errorf("in maildrop %v; qshape: %s", got, r)
	}
}

// qshape runs qshape, as wide as it needs.
func qshape(t *testing.T, args ...string) shape {
	t.Helper()
	r := root.run(t, qshapeProgram, append([]string{"-w", "1000"}, args...)...)
	if r.exitCode != 0 || r.stderr != "" {
		t.Fatal(r)
	}
	head, rows, _ := strings.Cut(r.stdout, "\n")
	if got := strings.Join(strings.Fields(head), " "); got != "T 5 10 20 40 80 160 320 640 1280 1280+" {
		t.Fatalf("the head of qshape is %s", got)
	}
	return parseShape(t, rows)
}

func parseShape(t *testing.T, rows string) shape {
	t.Helper()
	table := shape{}
	for line := range strings.Lines(rows) {
		words := strings.Fields(line)
		if len(words) != 12 {
			t.Fatalf("not a row: %q", line)
		}
		var counts [11]int
		for i := range counts {
			counts[i] = number(t, words[i+1])
		}
		table[words[0]] = counts
	}
	return table
}

// A shapeRow is a row of the table in a snapshot.
type shapeRow struct {
	Key   string
	Count int
	ByAge [10]int `json:"by_age"`
}

func (r shapeRow) counts() [11]int { return [11]int(append([]int{r.Count}, r.ByAge[:]...)) }

// snapshotShapes are the same table in a snapshot, and messages by sender domain.
func snapshotShapes(t *testing.T, args []string) (recipients shape, senders map[string]int) {
	t.Helper()
	var document struct {
		Instances []struct {
			Breakdown struct {
				Recipients struct {
					Rows  []shapeRow
					Total shapeRow
				}
				SenderDomains struct {
					Rows []struct {
						Key      string
						Messages int
					}
				} `json:"sender_domains"`
			}
		}
	}
	r := root.emit(t, append([]string{"-f", "json", "--breakdown"}, args...)...)
	if err := json.Unmarshal([]byte(r.stdout), &document); err != nil || r.exitCode != 0 {
		t.Fatalf("%v: %s", err, r)
	}
	b := document.Instances[0].Breakdown
	recipients, senders = shape{totalRow: b.Recipients.Total.counts()}, make(map[string]int)
	for _, row := range b.Recipients.Rows {
		recipients[row.Key] = row.counts()
	}
	for _, row := range b.SenderDomains.Rows {
		senders[row.Key] = row.Messages
	}
	return recipients, senders
}

// verifyTable compares the rows that the check shows with those of the snapshot, and each table with its total.
func verifyTable(t *testing.T, want shape, text string) {
	t.Helper()
	var sum [11]int
	for domain, counts := range want {
		if domain != totalRow {
			for i := range counts {
				sum[i] += counts[i]
			}
		}
	}
	if sum != want[totalRow] {
		t.Errorf("the rows add up to %v, the total is %v", sum, want[totalRow])
	}
	_, rows, _ := strings.Cut(text, "\nrecipients by domain and age in minutes\n")
	_, rows, _ = strings.Cut(rows, "\n") // after the head
	var table strings.Builder
	for line := range strings.Lines(rows) {
		if len(strings.Fields(line)) != 12 {
			break
		}
		table.WriteString(line)
	}
	got := parseShape(t, table.String())
	if len(got) < 4 {
		t.Fatalf("no table in %s", text)
	}
	others := want[totalRow]
	for domain, counts := range got {
		switch domain {
		case totalRow, othersRow:
			continue
		}
		if counts != want[domain] {
			t.Errorf("%s: %v with -vv, %v in the snapshot", domain, counts, want[domain])
		}
		for i := range counts {
			others[i] -= counts[i]
		}
	}
	if got[totalRow] != want[totalRow] || got[othersRow] != others {
		t.Errorf("total %v, others %v; want %v, %v", got[totalRow], got[othersRow], want[totalRow], others)
	}
}
