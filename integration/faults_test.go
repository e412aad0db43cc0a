//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFaults runs both programs with one fault at a time, thousands of times, and compares each answer with what
// may be said about the queue. docs/reliability.md has its table.
func TestFaults(t *testing.T) {
	if raceDetector() {
		t.Skip("slow with the race detector, which the programs are built without anyway")
	}
	f := newFaults(t)
	f.area("system calls", f.systemCalls())
	f.area("system calls, by their number", f.numberedCalls())
	f.area("writing", f.writes())
	f.area("postqueue", f.fakePostqueues())
	f.area("showq", f.fakeShowqs())
	f.area("standard output and error", f.outputs())
	f.area("limits", f.limits())
	f.area("surroundings", f.surroundings())
	f.area("signals", f.signals())
	t.Log("\n" + f.table())
}

// An outcome is what a run may come to. Outcomes are joined by |.
type outcome uint

const (
	whole  outcome = 1 << iota // the whole queue: OK, or success of the emitter
	failed                     // UNKNOWN; the emitter fails and says why
	down                       // the same, but CRITICAL: the mail system is down
	proved                     // CRITICAL: a lower bound that breaks a range
	mute                       // UNKNOWN or failure by the exit code alone: an output is broken
	killed                     // ended by a signal in the first moments, before the program catches it
)

func (o outcome) String() string {
	var names []string
	for i, name := range []string{"whole", "failed", "down", "proved", "mute", "killed"} {
		if o&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " or ")
}

// A cell is one run of a program with one fault.
type cell struct {
	fault   string
	as      command
	wrap    []string // the command that runs the program and makes the fault
	program string
	args    []string
	stdin   string // the file that is standard input, if any
	want    outcome
	prepare func(t *testing.T) (done func()) // makes the rest of the fault
	run     func(t *testing.T, argv []string) result
	isHit   func() bool // reports afterwards whether the fault was met; nil: it was
}

// A group is cells that run one after the other.
type group struct {
	name  string
	cells []cell
}

// faults is a running Postfix with some mail, and what is known about its queue.
type faults struct {
	t     *testing.T
	p     *postfixInstance
	queue listing
	truth map[string]int64 // metrics without ages
	saved string           // the queue as a listing in a file
	first string           // what showq answered when there were two messages
	mu    sync.Mutex
	areas []*faultCount
}

type faultCount struct {
	name                 string
	cells, right, missed int
	outcomes             map[outcome]int
	duration             time.Duration
}

func newFaults(t *testing.T) *faults {
	p := startWithMail(t, 2)
	f := &faults{t: t, p: p, first: askShowq(t)}
	var ids []string
	for i := range 8 {
		ids = append(ids, p.send(mail{from: "a@example.com", to: []string{fmt.Sprintf("b%d@example.org", i)}}))
	}
	p.waitDeferred(ids...)
	p.hold(ids[:2]...)
	p.disableService("pickup/unix")
	p.reload()
	for range 2 { // stay in maildrop
		p.must(command{stdin: "x\n"}.run(t, "/usr/sbin/sendmail", "-f", "a@example.com", "b@example.org"))
	}
	f.learn()
	return f
}

// learn makes the present queue the true one.
func (f *faults) learn() {
	f.t.Helper()
	f.queue = f.p.list()
	f.truth = f.queue.metrics(queueNames)
	f.saved = saveListing(f.t, f.p.must(f.p.postqueue("-j")).stdout)
}

// faultWorkers is how many cells run at the same time: most of them wait a lot.
const faultWorkers = 6

// area runs all cells of an area. No process may be left at its end.
func (f *faults) area(name string, groups []group) {
	count := &faultCount{name: name, outcomes: make(map[outcome]int)}
	f.areas = append(f.areas, count)
	start := time.Now()
	f.t.Run(name, func(t *testing.T) {
		before := liveProcesses(t)
		work := make(chan group)
		var wg sync.WaitGroup
		for range faultWorkers {
			wg.Go(func() {
				for g := range work {
					t.Run(g.name, func(t *testing.T) {
						for _, c := range g.cells {
							f.runCell(t, c, count)
						}
					})
				}
			})
		}
		for _, g := range groups {
			work <- g
		}
		close(work)
		wg.Wait()
		noNewProcesses(t, before)
		if count.missed > count.cells || count.outcomes[failed] == 0 {
			t.Errorf("%d faults were met, %d were not; outcomes %v", count.cells, count.missed, count.outcomes)
		}
	})
	count.duration = time.Since(start)
}

// table is the table of docs/reliability.md.
func (f *faults) table() string {
	var b strings.Builder
	b.WriteString("| area | cells | as expected |\n|---|---:|---:|\n")
	var cells, right int
	for _, c := range f.areas {
		fmt.Fprintf(&b, "| %s | %d | %d |\n", c.name, c.cells, c.right)
		cells, right = cells+c.cells, right+c.right
	}
	fmt.Fprintf(&b, "| **in all** | **%d** | **%d** |\n", cells, right)
	for _, c := range f.areas {
		fmt.Fprintf(&b, "%s: %.1f s; %v; %d faults not met\n", c.name, c.duration.Seconds(), c.outcomes, c.missed)
	}
	return b.String()
}

func (f *faults) runCell(t *testing.T, c cell, count *faultCount) {
	t.Helper()
	if c.prepare != nil {
		done := c.prepare(t)
		defer done()
	}
	argv := append(append(slices.Clone(c.wrap), program(t, c.program)), c.args...)
	if c.stdin != "" {
		argv = append([]string{"sh", "-c", `exec "$@" <` + c.stdin, "sh"}, argv...)
	}
	var r result
	if c.run != nil {
		r = c.run(t, argv)
	} else {
		r = c.as.run(t, argv[0], argv[1:]...)
	}
	met := c.isHit == nil || c.isHit()
	got, wrong := f.outcomeOf(c, r)
	right := wrong == "" && (got&c.want != 0 || !met && got == whole)
	if !right {
		t.Errorf("%s, %s: %v %s; want %v\n%q\n%s", c.program, c.fault, got, wrong, c.want, argv, r)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !met {
		count.missed++
		return
	}
	count.cells++
	count.outcomes[got]++
	if right {
		count.right++
	}
}

// lateAfter is when an answer is late, whatever the machine does meanwhile: no cell has a longer timeout than the
// default.
const lateAfter = 10*time.Second + answerMargin

var (
	goTrace    = regexp.MustCompile(`goroutine |panic:|runtime:|fatal error`)
	lowerBound = regexp.MustCompile(`^at least (\d+) emails? \((above|below) `)
)

// outcomeOf returns what a run came to, and what is wrong with it whatever was expected.
func (f *faults) outcomeOf(c cell, r result) (o outcome, wrong string) {
	early := r.exitCode == -1 && r.stderr == "" || r.exitCode == 2 && strings.HasPrefix(r.stderr, "SIGQUIT: quit\n")
	switch {
	case early && r.stdout == "" && c.want&killed != 0:
		return killed, ""
	case goTrace.MatchString(r.stdout + r.stderr):
		return 0, "a trace of Go"
	case r.duration > lateAfter:
		return 0, "late"
	case c.program == checkProgram:
		return f.outcomeOfCheck(r)
	default:
		return f.outcomeOfEmitter(r)
	}
}

func (f *faults) outcomeOfCheck(r result) (o outcome, wrong string) {
	line1, more, ended := strings.Cut(r.stdout, "\n")
	parts := line1Pattern.FindStringSubmatch(line1)
	switch {
	case r.exitCode == exitCodes["UNKNOWN"] && r.stdout == "" && r.stderr == "":
		return mute, ""
	case parts == nil || !ended || r.stderr != "":
		return 0, "not the answer of a plugin"
	case r.exitCode != exitCodes[parts[1]]:
		return 0, "the exit code is that of another state"
	case strings.Contains(more, "|") || aCountOfZero.MatchString(parts[2]):
		return 0, "an answer that may be misread"
	}
	state, text, perfdata := parts[1], parts[2], parts[3]
	if perfdata != "" {
		if state != "OK" || !f.isWhole(perfPattern, strings.Fields(perfdata)) {
			return 0, "numbers that are not those of the queue"
		}
		return whole, ""
	}
	bound := lowerBound.FindStringSubmatch(text)
	switch {
	case state == "UNKNOWN":
		return failed, ""
	case state == "CRITICAL" && strings.HasPrefix(text, "mail system is down"):
		return down, ""
	case state == "CRITICAL" && bound != nil && bound[2] == "above":
		return proved, ""
	}
	return 0, "a state that nothing proves"
}

func (f *faults) outcomeOfEmitter(r result) (o outcome, wrong string) {
	for line := range strings.Lines(r.stderr) {
		if !strings.HasPrefix(line, "postfix_queue_emit: ") || !strings.HasSuffix(line, "\n") {
			return 0, "not a message of the emitter"
		}
	}
	gauges := strings.Split(strings.TrimSuffix(r.stdout, "\n"), "\n")
	switch {
	case r.exitCode == 0 && r.stderr == "" && strings.HasSuffix(r.stdout, "|g\n") && f.isWhole(gaugeLine, gauges):
		return whole, ""
	case r.exitCode == 1 && r.stdout == "" && r.stderr == "":
		return mute, ""
	case r.exitCode == 1 && r.stdout == "" && strings.Contains(r.stderr, "mail system is down"):
		return down, ""
	case r.exitCode == 1 && r.stdout == "":
		return failed, ""
	}
	return 0, "neither a whole document nor a failure"
}

var gaugeLine = regexp.MustCompile(`^postfix_queue\.(?:local\.)?([a-z_]+):([0-9]+)\|g$`)

// isWhole reports whether numbers, the first two groups of a pattern, are all those of the queue.
func (f *faults) isWhole(pattern *regexp.Regexp, numbers []string) bool {
	got := make(map[string]string)
	for _, text := range numbers {
		m := pattern.FindStringSubmatch(text)
		if m == nil {
			return false
		}
		got[m[1]] = m[2]
	}
	for metric, value := range f.truth {
		if got[metric] != fmt.Sprint(value) {
			return false
		}
	}
	return true
}

// A faultSource is a way to read the queue.
type faultSource struct {
	name  string
	user  string
	args  []string
	stdin string
}

func (f *faults) sources() []faultSource {
	return []faultSource{
		{name: "spool", user: "root", args: []string{"--source", "spool"}},
		{name: "spool as the mail owner", user: "postfix", args: []string{"--source", "spool"}},
		{name: "showq", user: "root", args: []string{"--source", "showq"}},
		{name: "postqueue", user: "nobody", args: []string{"--source", "postqueue"}},
		{name: "auto", user: "root"},
		{name: "auto as nobody", user: "nobody"},
		{name: "a file", user: "nobody", args: []string{"--input", f.saved, "--max-age", "0"}},
		{name: "standard input", user: "nobody", args: []string{"--input", "-"}, stdin: f.saved},
	}
}

func (f *faults) source(name string) faultSource {
	sources := f.sources()
	return sources[slices.IndexFunc(sources, func(s faultSource) bool { return s.name == name })]
}

// programArgs are the arguments with which the outcome of a program can be told.
func programArgs(program string, args ...string) []string {
	if program == emitterProgram {
		args = append([]string{"-f", "statsd"}, args...)
	}
	return args
}

var bothPrograms = []string{checkProgram, emitterProgram}

// queueFile is the path of a message that stays where it is.
func (f *faults) queueFile(queue string, i int) string {
	id := f.queue.in(queue)[i].ID
	var found string
	_ = filepath.WalkDir(filepath.Join(spoolDir, queue), func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Name() == id {
			found = path
		}
		return nil
	})
	if found == "" {
		f.t.Fatalf("no file of %s in %s", id, queue)
	}
	return found
}
