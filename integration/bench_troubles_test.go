//go:build integration

package integration

import (
	"context"
	"net/textproto"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkFalseAlarms looks at a Postfix that works, twice a second as root and as an ordinary user, and counts the
// looks that find trouble. The last number is of root with a --stuck of 5 seconds: how often the rules are near it.
// Overdue is the longest time in seconds that deferred mail waited beyond its next try.
func BenchmarkFalseAlarms(b *testing.B) {
	const looks = 150 // of each user, for each kind of traffic
	fast := []string{"defer_transports=", "qmgr_message_active_limit=20000"}
	kinds := []struct {
		name     string
		settings []string
		waiting  int // deferred messages to begin with
		slow     bool
		every    time.Duration
		do       func(*postfixInstance)
	}{
		{name: "full speed", settings: fast},
		{name: "reload under load", settings: fast, every: 5 * time.Second, do: reloadOnly},
		{name: "reload during deliveries", settings: fast, slow: true, every: 5 * time.Second, do: reloadOnly},
		{
			name: "postsuper -r", waiting: 2000, every: 10 * time.Second,
			do: func(p *postfixInstance) { p.postsuper("-r", "ALL") },
		},
		{
			name: "postsuper -h and -H", waiting: 2000, every: 5 * time.Second,
			do: func(p *postfixInstance) { p.postsuper("-h", "ALL"); p.postsuper("-H", "ALL") },
		},
		{name: "postqueue -f", waiting: 2000, every: 10 * time.Second, do: func(p *postfixInstance) { p.flush() }},
		{name: "20000 draining", waiting: 20_000, every: time.Hour, do: drain},
		{name: "slow DATA", settings: fast, every: time.Second, do: sendSlowly},
	}
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) {
			p := startPostfix(b, kind.settings...)
			var wg sync.WaitGroup
			ctx, cancel := context.WithCancel(b.Context())
			stop := func() { cancel(); wg.Wait() }
			defer stop()
			if kind.waiting == 0 {
				traffic(ctx, b, &wg, p, kind.slow)
			} else {
				p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
				p.fillQueue(kind.waiting)
			}
			if kind.do != nil {
				wg.Go(func() {
					for ctx.Err() == nil {
						kind.do(p)
						select {
						case <-ctx.Done():
						case <-time.After(kind.every):
						}
					}
				})
			}
			counts := map[string]int{}
			var overdue time.Duration
			for range looks {
				next := time.Now().Add(500 * time.Millisecond)
				for name, a := range map[string]answer{
					"root-alarms": root.check(b), "user-alarms": nobody.check(b), "nervous-alarms": root.check(b, "--stuck=5s", "-t4"),
				} {
					if a.state != "OK" {
						counts[name]++
						b.Logf("%s: %s", name, strings.SplitN(a.stdout, " | ", 2)[0])
					}
				}
				overdue = max(overdue, longestOverdue(b))
				time.Sleep(time.Until(next))
			}
			stop()
			b.ReportMetric(2*looks, "looks")
			for _, name := range []string{"root-alarms", "user-alarms", "nervous-alarms"} {
				b.ReportMetric(float64(counts[name]), name)
			}
			b.ReportMetric(overdue.Seconds(), "overdue")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func reloadOnly(p *postfixInstance) { p.must(runAs(p.t, "root", "postfix", "reload")) }

// drain lets everything that is deferred go.
func drain(p *postfixInstance) {
	p.set("defer_transports=", "default_transport=discard")
	reloadOnly(p)
	p.flush()
}

// sendSlowly takes ten seconds for a message.
func sendSlowly(p *postfixInstance) {
	conn, err := textproto.Dial("tcp", "127.0.0.1:25")
	if err != nil {
		return
	}
	defer conn.Close()
	if _, _, err := conn.ReadResponse(220); err != nil {
		return
	}
	for _, line := range []string{"HELO client.example", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA"} {
		_ = conn.PrintfLine("%s", line)
		if _, _, err := conn.ReadResponse(0); err != nil && line != "DATA" {
			return
		}
	}
	for range 10 {
		_ = conn.PrintfLine("slow")
		time.Sleep(time.Second)
	}
	_ = conn.PrintfLine(".")
}

// traffic sends mail as fast as it goes to a server that accepts it, at once or slowly.
func traffic(ctx context.Context, b testing.TB, wg *sync.WaitGroup, p *postfixInstance, slow bool) {
	b.Helper()
	sink := []string{"-u", "postfix", "127.0.0.1:2525", "100"}
	if slow {
		sink = append([]string{"-w", "3"}, sink...)
	}
	p.set("default_transport=smtp:[127.0.0.1]:2525")
	for _, args := range [][]string{
		append([]string{"smtp-sink"}, sink...),
		{"sh", "-c", "while smtp-source -s 5 -m 500 -f a@example.com -t b@example.org 127.0.0.1:25; do sleep 0.2; done"},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		wg.Go(func() { _ = cmd.Wait() })
		time.Sleep(200 * time.Millisecond)
	}
}

// longestOverdue is by how much the next try of deferred mail is late, as the source spool counts it.
func longestOverdue(b *testing.B) (longest time.Duration) {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(spoolDir, "deferred", "?", "*"))
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range files {
		var stat unix.Stat_t
		if unix.Stat(path, &stat) == nil {
			due := max(stat.Mtim.Sec, stat.Ctim.Sec)
			longest = max(longest, time.Since(time.Unix(due, 0)))
		}
	}
	return longest
}
