//go:build integration && soak

package integration

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const (
	soakVariable = "SOAK" // how long the test takes: 1h if it is not set
	soakRounds   = 1000   // in that time
)

// A soaker is a way to run one of the programs, over and over.
type soaker struct {
	name string
	// run returns the numbers of the queue, and what is wrong with the answer beside them.
	run func(*testing.T) (numbers map[string]int64, wrong string)
}

// TestSoak runs both programs for an hour, a thousand times each with every source, while mail goes through Postfix as
// fast as it can. Each run must succeed without an alarm, and no number may be outside of what the queue was meanwhile.
func TestSoak(t *testing.T) {
	length := time.Hour
	if text := os.Getenv(soakVariable); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	p := newPostfix(t, "defer_transports=later", "transport_maps=inline:{later.example=later:}",
		"default_transport=smtp:[127.0.0.1]:2525", "qmgr_message_active_limit=20000")
	p.must(runAs(t, "root", "postconf", "-M", "later/unix=later unix - - y - - smtp"))
	p.settle(configDir)
	p.start()
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@later.example"}, sizeBytes: 3000}))
	const waiting = 1000
	p.fillQueue(waiting - 1)
	held := p.send(mail{from: "a@example.com", to: []string{"b@later.example"}})
	p.waitDeferred(held)
	p.hold(held)

	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	stop := func() { cancel(); wg.Wait() }
	defer stop()
	before := liveProcesses(t)
	traffic(ctx, t, &wg, p, false)

	dirs := map[string]string{"root": publicTempDir(t), "nobody": ownedDir(t, "nobody")} // for what the programs write
	list := soakers(dirs)
	descriptors := p.descriptors()
	counts := map[string]int{}
	began := time.Now()
	round := 0
	for ; round < soakRounds && time.Since(began) < length; round++ {
		for _, s := range list {
			soakOnce(t, p, s)
			counts[s.name]++
		}
		if t.Failed() {
			break
		}
		time.Sleep(time.Until(began.Add(length / soakRounds * time.Duration(round+1))))
	}
	accepted := arrivals(logFrom(t, 0))
	stop()
	t.Logf("%v, %d messages accepted (%.0f a second); runs: %v",
		time.Since(began).Round(time.Second), accepted, float64(accepted)/time.Since(began).Seconds(), counts)
	if accepted < 10*round || round < soakRounds && os.Getenv(soakVariable) == "" {
		t.Errorf("only %d rounds and %d messages", round, accepted)
	}
	noNewProcesses(t, before)
	if got := p.descriptors(); got != descriptors {
		t.Errorf("%s has %d descriptors, %d before", masterName, got, descriptors)
	}
	verifyFiles(t, dirs)
}

// soakers lists what is run; dirs are directories of the users.
func soakers(dirs map[string]string) []soaker {
	var list []soaker
	checks := func(name string, as command, args ...string) soaker {
		return soaker{name, func(t *testing.T) (map[string]int64, string) {
			a := as.check(t, args...)
			if a.state != "OK" {
				return a.perf, a.String()
			}
			return a.perf, ""
		}}
	}
	emits := func(name string, as command, args ...string) soaker {
		return soaker{name, func(t *testing.T) (map[string]int64, string) { return as.gauges(t, args...), "" }}
	}
	for _, way := range []struct {
		source string
		as     command
	}{{"spool", root}, {"showq", root}, {"postqueue", root}, {"postqueue", nobody}} {
		name := way.source + " as " + way.as.user
		source := "--source=" + way.source
		state := filepath.Join(dirs[way.as.user], way.source+".state")
		list = append(list,
			checks("check "+name, way.as, source, "--state", state),
			checks("check -vv "+name, way.as, source, "-vv", "-w", "1000000"),
			emits("emit "+name, way.as, source))
	}
	snapshot := filepath.Join(dirs["root"], "queue.json")
	list = append(list, soaker{"snapshot of root", func(t *testing.T) (map[string]int64, string) {
		r := root.emit(t, "-f", "json", "--to", snapshot)
		if r.exitCode != 0 || r.stdout+r.stderr != "" {
			return nil, r.String()
		}
		a := nobody.check(t, "--input", snapshot)
		if a.state != "OK" {
			return a.perf, a.String()
		}
		return a.perf, ""
	}})
	return list
}

// soakOnce compares the numbers of a run with two looks at the queue, before and after it.
func soakOnce(t *testing.T, p *postfixInstance, s soaker) {
	t.Helper()
	offset := logSize(t) // first: a message that is logged from here on is either in the look or came after it
	before := lookAtQueue(t)
	numbers, wrong := s.run(t)
	after := lookAtQueue(t)
	p.settleLog()
	log := logFrom(t, offset)
	if wrong != "" {
		t.Errorf("%s: %s", s.name, wrong)
		return
	}
	distinct := make(map[string]bool)
	for _, ids := range before {
		maps.Copy(distinct, ids)
	}
	// All sources look at active before deferred, as showq does: a message that goes there meanwhile is in both.
	most := int64(len(distinct) + arrivals(log) + bytes.Count(log, []byte("status=deferred")))
	stayedInAll := int64(0)
	for _, queue := range queueNames {
		stayed := int64(0)
		for id, complete := range before[queue] {
			if _, ok := after[queue][id]; ok && complete {
				stayed++
			}
		}
		stayedInAll += stayed
		if got, known := numbers[queue]; !known || got < stayed || got > most {
			t.Errorf("%s: %s is %d (known: %v), want %d to %d", s.name, queue, got, known, stayed, most)
		}
	}
	if got := numbers["emails"]; got < stayedInAll || got > most {
		t.Errorf("%s: emails is %d, want %d to %d", s.name, got, stayedInAll, most)
	}
}

// lookAtQueue returns the queue IDs of each queue, and whether the message is complete.
func lookAtQueue(t *testing.T) map[string]map[string]bool {
	t.Helper()
	look := make(map[string]map[string]bool)
	// In the order in which a message moves, so that none is missed; one may be in two queues.
	for _, queue := range []string{"maildrop", "incoming", "active", "deferred", "hold"} {
		look[queue] = make(map[string]bool)
		err := filepath.WalkDir(filepath.Join(spoolDir, queue), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			info, err := entry.Info()
			if err == nil {
				look[queue][entry.Name()] = info.Mode()&0o100 != 0
			}
			return nil // it has gone meanwhile
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return look
}

// descriptors is how many descriptors the master has, through which it listens for all services.
func (p *postfixInstance) descriptors() int {
	p.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.master().pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(entries)
}

// settleLog waits until everything that has been logged is in the file: the lines come there one after the other.
func (p *postfixInstance) settleLog() {
	p.t.Helper()
	offset := logSize(p.t)
	mark := fmt.Sprint("mark ", time.Now().UnixNano())
	p.must(runAs(p.t, "root", "postlog", "-t", "soak", mark))
	waitFor(p.t, "the log", func() (bool, any) {
		return bytes.Contains(logFrom(p.t, offset), []byte(mark)), offset
	})
}

func logSize(t testing.TB) int64 {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(mailLog, &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Size
}

// logFrom returns what has been logged since the log had that size.
func logFrom(t testing.TB, offset int64) []byte {
	t.Helper()
	f, err := os.Open(mailLog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content := make([]byte, logSize(t)-offset)
	if _, err := f.ReadAt(content, offset); err != nil {
		t.Fatal(err)
	}
	return content
}

// arrivals counts the messages that a part of the log says have come.
func arrivals(log []byte) int { return bytes.Count(log, []byte(": message-id=")) }

// verifyFiles makes sure that the programs have written what they were told to write, and nothing else.
func verifyFiles(t *testing.T, dirs map[string]string) {
	t.Helper()
	want := map[string][]string{
		"root":   {"postqueue.state", "queue.json", "showq.state", "spool.state"},
		"nobody": {"postqueue.state"},
	}
	got := make(map[string][]string)
	for user, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			got[user] = append(got[user], entry.Name())
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}
