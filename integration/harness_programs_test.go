//go:build integration

package integration

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"example.org/postfix-queue-monitor/internal/emit/emittest"
)

// The programs under test.
const (
	checkProgram   = "check_postfix_queue"
	emitterProgram = "postfix_queue_emit"
)

var (
	root   = command{user: "root"}
	nobody = command{user: "nobody"}
)

// queueNames are the queues that Postfix lists.
var queueNames = []string{"active", "deferred", "hold", "incoming", "maildrop"}

// An answer is what the check said, taken apart.
type answer struct {
	result
	state string           // OK, WARNING, CRITICAL or UNKNOWN
	text  string           // line 1 between the state and the performance data
	perf  map[string]int64 // performance data: values by label
}

// check runs the check. Its answer must be one that a monitoring system understands.
func (c command) check(t testing.TB, args ...string) answer {
	t.Helper()
	return takeApart(t, c.run(t, program(t, checkProgram), args...), args...)
}

var (
	line1Pattern = regexp.MustCompile(`^POSTFIX_QUEUE (OK|WARNING|CRITICAL|UNKNOWN) - ([^|]*[^| ])(?: \| ([^|]+))?$`)
	exitCodes    = map[string]int{"OK": 0, "WARNING": 1, "CRITICAL": 2, "UNKNOWN": 3}
)

// takeApart takes an answer apart and fails the test if it is not the answer of a plugin that was called with
// these arguments.
func takeApart(t testing.TB, r result, args ...string) answer {
	t.Helper()
	line1, more, ended := strings.Cut(r.stdout, "\n")
	parts := line1Pattern.FindStringSubmatch(line1)
	if parts == nil || !ended {
		t.Fatalf("not the answer of a plugin: %s", r)
	}
	a := answer{result: r, state: parts[1], text: parts[2], perf: make(map[string]int64)}
	for label, item := range parsePerfdata(t, parts[3]) {
		if want := perfUnit(label); item.Unit != want {
			t.Errorf("%s has unit %q, want %q: %s", label, item.Unit, want, r)
		}
		a.perf[label] = item.Value
	}
	if r.exitCode != exitCodes[a.state] {
		t.Errorf("the exit code is not that of %s: %s", a.state, r)
	}
	if r.stderr != "" {
		t.Errorf("the check wrote to stderr: %s", r)
	}
	// The text must not contain what means something to a web page, a shell or a monitoring system, except
	// what the caller has typed.
	typed := strings.Join(args, "")
	if usageError.MatchString(a.text) {
		typed += `"`
	}
	isUnsafe := func(r rune) bool {
		return r == '|' || strings.ContainsRune("$<>&`'\"\\", r) && !strings.ContainsRune(typed, r)
	}
	if text := a.text + "\n" + more; !isPlain(text) || strings.ContainsFunc(text, isUnsafe) {
		t.Errorf("the answer has unsafe characters: %q", r.stdout)
	}
	return a
}

// usageError is an error that quotes an argument.
var usageError = regexp.MustCompile(`(invalid|unknown|unexpected) [a-z ]+"`)

// A perfItem is an item of performance data.
type perfItem struct {
	Value            int64
	Unit, Warn, Crit string
}

var (
	perfPattern = regexp.MustCompile(`^([a-z0-9_]+)=([0-9]+)(B|s|);([-@~:.0-9]*);([-@~:.0-9]*);0$`)
	// Growth has no least value.
	growthPattern = regexp.MustCompile(`^((?:[a-z0-9_]+_)?growth)=(-?[0-9]+)()(?:;([-@~:.0-9]*)(?:;([-@~:.0-9]+))?)?$`)
)

// parsePerfdata returns the items by label.
func parsePerfdata(t testing.TB, perfdata string) map[string]perfItem {
	t.Helper()
	items := make(map[string]perfItem)
	for word := range strings.FieldsSeq(perfdata) {
		m := perfPattern.FindStringSubmatch(word)
		if m == nil {
			m = growthPattern.FindStringSubmatch(word)
		}
		if m == nil {
			t.Fatalf("invalid performance data %q: %s", word, perfdata)
		}
		if _, twice := items[m[1]]; twice {
			t.Fatalf("duplicate performance data %s: %s", m[1], perfdata)
		}
		items[m[1]] = perfItem{int64(number(t, m[2])), m[3], m[4], m[5]}
	}
	return items
}

func perfUnit(label string) string {
	switch {
	case label == "size", label == "spool_free", strings.HasSuffix(label, "_size"):
		return "B"
	case isAge(label):
		return "s"
	default:
		return ""
	}
}

func isAge(metric string) bool { return metric == "age" || strings.HasSuffix(metric, "_age") }

// isPlain reports whether a text has only printable ASCII and line ends.
func isPlain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return (r < ' ' || r > '~') && r != '\n' })
}

// emit runs the emitter. All its output must be plain text, and a snapshot must be as its schema says.
func (c command) emit(t testing.TB, args ...string) result {
	t.Helper()
	r := c.run(t, program(t, emitterProgram), args...)
	verifySnapshot(t, r, args)
	if !isPlain(r.stdout) || !isPlain(r.stderr) {
		t.Errorf("the emitter's output has unsafe characters: %q and %q", r.stdout, r.stderr)
	}
	return r
}

// verifySnapshot fails the test if the emitter has written a snapshot, to standard output or a file, that its schema
// refuses.
func verifySnapshot(t testing.TB, r result, args []string) {
	t.Helper()
	document := r.stdout
	if to := slices.Index(args, "--to"); to >= 0 && to+1 < len(args) && strings.HasPrefix(args[to+1], "/") {
		if info, err := os.Stat(args[to+1]); err != nil || !info.Mode().IsRegular() {
			return
		}
		content, err := os.ReadFile(args[to+1])
		if err != nil {
			t.Fatal(err)
		}
		document = string(content)
	}
	if !strings.HasPrefix(document, "{\n \"format\": \"postfix-queue-snapshot\"") {
		return
	}
	if err := emittest.ValidateSnapshot(document); err != nil {
		t.Errorf("%q: %v\n%s", args, err, document)
	}
}

// gauges runs the emitter, which must succeed, and returns what it writes to stdout as statsd: values by
// metric.
func (c command) gauges(t testing.TB, args ...string) map[string]int64 {
	t.Helper()
	r := c.emit(t, append([]string{"--format=statsd"}, args...)...)
	if r.exitCode != 0 || r.stderr != "" {
		t.Fatal(r)
	}
	return parseGauges(t, r.stdout)
}

var gaugePattern = regexp.MustCompile(`^postfix_queue\.([a-z0-9_]+):([0-9]+)\|g\n$`)

// parseGauges returns values by metric, without the time stamp, which must be of this hour.
func parseGauges(t testing.TB, document string) map[string]int64 {
	t.Helper()
	gauges := make(map[string]int64)
	for line := range strings.Lines(document) {
		g := gaugePattern.FindStringSubmatch(line)
		if g == nil {
			t.Fatalf("invalid gauge %q", line)
		}
		if _, twice := gauges[g[1]]; twice {
			t.Fatalf("duplicate gauge %s:\n%s", g[1], document)
		}
		gauges[g[1]] = int64(number(t, g[2]))
	}
	if age := time.Since(time.Unix(gauges["last_success"], 0)); age < 0 || age > time.Hour {
		t.Errorf("last_success is %d, %v ago", gauges["last_success"], age)
	}
	delete(gauges, "last_success")
	return gauges
}

// charts runs the emitter, which must succeed, and returns what it writes for Netdata: values by
// "chart dimension".
func (c command) charts(t testing.TB, args ...string) map[string]int64 {
	t.Helper()
	r := c.emit(t, args...)
	if r.exitCode != 0 || r.stderr != "" {
		t.Fatal(r)
	}
	values := make(map[string]int64)
	chart := ""
	for line := range strings.Lines(r.stdout) {
		words := strings.Fields(line)
		switch words[0] {
		case "CHART", "DIMENSION", "CLABEL", "CLABEL_COMMIT":
		case "BEGIN":
			chart = words[1]
		case "SET":
			values[chart+" "+words[1]] = int64(number(t, words[3]))
		case "END":
			chart = ""
		default:
			t.Fatalf("Netdata does not know %q", line)
		}
	}
	if chart != "" {
		t.Fatalf("chart %s has no end: %s", chart, r)
	}
	return values
}

// metrics returns the numbers that both programs must report for those queues of a listing, without the ages.
// It shares no code with them.
func (l listing) metrics(queues []string) map[string]int64 {
	m := map[string]int64{"emails": 0, "size": 0, "recipients": 0, "forced_expire": 0}
	for _, queue := range queues {
		part := l.in(queue)
		m[queue], m[queue+"_size"] = int64(len(part)), part.sizeBytes()
		m["emails"] += int64(len(part))
		m["size"] += part.sizeBytes()
		for _, message := range part {
			distinct := make(map[string]bool)
			for _, r := range message.Recipients {
				distinct[r.Address] = true
			}
			m["recipients"] += int64(len(distinct))
			if message.ForcedExpire {
				m["forced_expire"]++
			}
		}
	}
	return m
}

// arrivals returns the arrival times of the oldest messages by the metric of their age, zero for an empty
// queue.
func (l listing) arrivals(queues []string) map[string]time.Time {
	oldest := make(map[string]time.Time)
	note := func(metric string, m listedMessage) {
		if arrival := time.Unix(m.ArrivalTime, 0); oldest[metric].IsZero() || arrival.Before(oldest[metric]) {
			oldest[metric] = arrival
		}
	}
	for _, queue := range queues {
		oldest[queue+"_age"] = time.Time{}
		if _, ok := oldest["age"]; queue != "hold" && !ok {
			oldest["age"] = time.Time{}
		}
		for _, m := range l.in(queue) {
			note(queue+"_age", m)
			if queue != "hold" {
				note("age", m)
			}
		}
	}
	return oldest
}

// metricNames are the names of all metrics of a queue.
func metricNames() []string {
	none := listing{}
	return slices.AppendSeq(slices.Sorted(maps.Keys(none.metrics(queueNames))), maps.Keys(none.arrivals(queueNames)))
}

// A timespan is the time in which a program ran.
type timespan struct{ from, to time.Time }

// during calls f and returns when that was.
func during(f func()) timespan {
	from := time.Now()
	f()
	return timespan{from, time.Now()}
}

// checkMetrics compares what a program said with the listing of the queue at that time. The program looked only
// at those queues.
func checkMetrics(t testing.TB, got map[string]int64, ran timespan, listed listing, queues []string) {
	t.Helper()
	want := listed.metrics(queues)
	for metric, arrival := range listed.arrivals(queues) {
		age, known := got[metric]
		youngest, oldest := int64(0), int64(0)
		if !arrival.IsZero() {
			youngest, oldest = int64(ran.from.Sub(arrival).Seconds()), int64(ran.to.Sub(arrival).Seconds())
		}
		if !known || age < youngest || age > oldest {
			t.Errorf("%s is %d (known: %v), want %d to %d", metric, age, known, youngest, oldest)
		}
		want[metric] = age
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// A udpReceiver is a socket that metrics can be sent to.
type udpReceiver struct {
	t    testing.TB
	fd   int
	port int
}

func newUDPReceiver(t testing.TB) *udpReceiver {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return &udpReceiver{t, fd, address.(*unix.SockaddrInet4).Port}
}

// target is the receiver as a value of --to.
func (u *udpReceiver) target() string { return fmt.Sprintf("udp://127.0.0.1:%d", u.port) }

// received returns the datagrams that have come. It does not wait: on lo a datagram has arrived when the call
// that sent it returns.
func (u *udpReceiver) received() []string {
	u.t.Helper()
	var datagrams []string
	buffer := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(u.fd, buffer, 0)
		if errors.Is(err, unix.EAGAIN) {
			return datagrams
		}
		if err != nil {
			u.t.Fatal(err)
		}
		datagrams = append(datagrams, string(buffer[:n]))
	}
}

// verifySilence fails the test if anything has come.
func (u *udpReceiver) verifySilence() {
	u.t.Helper()
	if datagrams := u.received(); len(datagrams) > 0 {
		u.t.Errorf("want nothing sent, got %q", datagrams)
	}
}

// median returns the middle one of the values, the greater of two if their number is even.
func median[T int64 | float64](values []T) T {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}
