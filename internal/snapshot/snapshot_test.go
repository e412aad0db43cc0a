package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"example.org/postfix-queue-monitor/internal/queue"
)

var now = time.Now()

// mail is a source of five messages.
type mail struct{ facts queue.Facts }

func (mail) Name() string { return "input" }

func (m mail) Read(_ context.Context, _ queue.Depth, visit func(*queue.Message)) (queue.Facts, error) {
	recipients := []queue.Recipient{{Address: "a@example.org", Reason: "late"}, {Address: "b@example.com"}}
	for i, name := range queue.Names() {
		age := time.Duration(i+1) * time.Hour
		if name == queue.Hold {
			age = 50 * time.Hour
		}
		if name == queue.Incoming || name == queue.Maildrop {
			age = time.Minute
		}
		visit(&queue.Message{
			Queue: name, ID: "A", Arrival: now.Add(-age), SizeBytes: 1000, Sender: "c@example.net", Recipients: recipients,
		})
	}
	return m.facts, nil
}

func summary(t *testing.T, q queue.Query) *queue.Summary {
	t.Helper()
	s, err := queue.Summarize(t.Context(), mail{queue.Facts{KnowsClients: q.Filter.Logins != nil}}, q)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// written returns the snapshot of one instance with this summary.
func written(t *testing.T, s *queue.Summary) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, []queue.Reading{{Instance: queue.Instance{Name: "mx1"}, Summary: s}}, now); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func snapshotText(t *testing.T) string {
	t.Helper()
	return written(t, summary(t, queue.Query{}))
}

// A snapshot that is cut off anywhere, that something follows, or that is of
// another kind, is refused.
func TestReadSnapshotRefusals(t *testing.T) {
	whole := snapshotText(t)
	if _, _, err := Read(strings.NewReader(whole), now); err != nil {
		t.Fatal(err)
	}
	for end := range strings.TrimSpace(whole) {
		if _, _, err := Read(strings.NewReader(whole[:end]), now); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut off after %d bytes: %v", end, err)
		}
	}
	tests := map[string]string{
		"one without end":     whole[:1] + `"x": "` + strings.Repeat("x", maxSize) + `", ` + whole[1:],
		"two of them":         whole + whole,
		"another version":     strings.Replace(whole, `"version": 1`, `"version": 2`, 1),
		"another format":      strings.Replace(whole, Format, "x", 1),
		"no instance":         `{"format": "` + Format + `", "version": 1, "instances": []}`,
		"a nameless instance": strings.Replace(whole, `"name": "mx1"`, `"name": ""`, 1),
		"two alike in metrics": `{"format": "` + Format +
			`", "version": 1, "taken": 5, "instances": [` +
			`{"name": "mx.1", "up": false, "error": "x"}, {"name": "mx_1", "up": false, "error": "x"}]}`,
		"no numbers":          `{"format": "` + Format + `", "version": 1, "instances": [{"name": "x", "up": true}]}`,
		"up, and down":        strings.Replace(whole, `"up": true`, `"up": true, "down": "x"`, 1),
		"numbers, and failed": strings.Replace(whole, `"up": true`, `"up": true, "error": "x"`, 1),
		"a negative number":   strings.Replace(whole, `"messages": 5`, `"messages": -5`, 1),
		"a text for a number": strings.Replace(whole, `"messages": 5`, `"messages": "5"`, 1),
		"a number too large":  strings.Replace(whole, `"messages": 5`, `"messages": 5e99`, 1),
	}
	for name, doc := range tests {
		if _, _, err := Read(strings.NewReader(doc), now); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		verifySchema(t, name, doc)
	}
	broken := errors.New("disk")
	if _, _, err := Read(iotest.ErrReader(broken), now); !errors.Is(err, broken) || errors.Is(err, ErrDamaged) {
		t.Errorf("a disk that fails: %v", err)
	}
}

// Age goes on after the snapshot was taken.
func TestSnapshotAges(t *testing.T) {
	readings, _, err := Read(strings.NewReader(snapshotText(t)), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	age, _ := queue.Lookup("age")
	if got, known := age.Value(readings[0].Summary); !known || got/60 != 180 {
		t.Errorf("age %d s, want 3 hours", got)
	}
}

// Histograms come back from a snapshot as they were; ages count up to the time of
// the reading.
func TestSnapshotHistograms(t *testing.T) {
	s := summary(t, queue.Query{})
	whole := written(t, s)
	readings, _, err := Read(strings.NewReader(whole), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range s.Queues {
		got := readings[0].Summary.Queues[name].Histograms
		want.Histograms.Until = time.Unix(s.Taken.Unix(), 0)
		if diff := cmp.Diff(want.Histograms, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}

	const one, none = `{"messages": 1, "size_bytes": 5, "recipients": 1, "forced_expire": 0, "oldest_arrival": 1}`,
		`{"messages": 0, "size_bytes": 0, "recipients": 0, "forced_expire": 0}`
	without := `{"format": "` + Format + `", "version": 1, "taken": 5, "instances": [{"name": "x", "up": true,
		"total": ` + one + `, "queues": {"hold": ` + one + `, "active": ` + none + `}}]}`
	readings, _, err = Read(strings.NewReader(without), now)
	if err != nil {
		t.Fatal(err)
	}
	if q := readings[0].Summary.Queues; q[queue.Hold].Histograms != nil || q[queue.Active].Histograms == nil {
		t.Errorf("hold %+v, active %+v", q[queue.Hold].Histograms, q[queue.Active].Histograms)
	}

	for name, damage := range map[string][2]string{
		"bounds that do not ascend": {" 4096,", " 96,"},
		"a bound too many":          {`"bounds": [`, `"bounds": [ 0,`},
		"a count too many":          {`"counts": [`, `"counts": [ 0,`},
		"a negative sum":            {`"sum": `, `"sum": -`},
		"a negative count":          {"1", "-1"},
		"a count too large":         {"1", "99"},
	} {
		start, counts, _ := strings.Cut(whole, `"counts"`)
		damaged := start + `"counts"` + strings.Replace(counts, damage[0], damage[1], 1)
		if damaged == whole {
			t.Fatalf("nothing to damage: %q", damage[0])
		}
		if _, _, err := Read(strings.NewReader(damaged), now); err == nil {
			t.Errorf("%s is accepted", name)
		}
		verifySchema(t, name, damaged)
	}
}

// A snapshot of filtered mail says so: its numbers must not pass for the whole
// queue.
func TestSnapshotKeepsTheFilter(t *testing.T) {
	patterns := func(texts ...string) (p queue.Patterns) {
		for _, text := range texts {
			if err := p.UnmarshalText([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	want := queue.Filter{
		Queues:     []queue.Name{queue.Active, queue.Deferred},
		Senders:    patterns("@example", "!^root@"),
		Logins:     patterns("=anna"),
		Clients:    patterns("!^192"),
		Recipients: patterns("b@"),
		Reasons:    patterns("late", "refused"),
		OlderThan:  90 * time.Second,
	}
	readings, _, err := Read(strings.NewReader(written(t, summary(t, queue.Query{Filter: want}))), now)
	if err != nil {
		t.Fatal(err)
	}
	got := readings[0].Summary.Filter
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(queue.Pattern{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.String() != want.String() {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Breakdowns and reasons come back as they were written.
func TestSnapshotKeepsTheBreakdown(t *testing.T) {
	want := summary(t, queue.Query{Reasons: true, Breakdown: true})
	readings, _, err := Read(strings.NewReader(written(t, want)), now)
	if err != nil {
		t.Fatal(err)
	}
	got := readings[0].Summary
	wholeSeconds := cmp.Comparer(func(a, b time.Time) bool { return a.Unix() == b.Unix() })
	if diff := cmp.Diff(want.Breakdown, got.Breakdown, wholeSeconds); diff != "" {
		t.Errorf("breakdown (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want.Reasons, got.Reasons); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

// Every number comes back, and numbers come from complete readings of running
// systems alone.
func TestSnapshotKeepsReadings(t *testing.T) {
	full := func(change func(*queue.Summary)) *queue.Summary {
		always := func(*queue.Summary) bool { return true }
		s := summary(t, queue.Query{Reasons: true, Breakdown: true, Tops: true, Findings: always})
		corrupt := int64(7)
		s.Unreadable, s.Corrupt = 2, &corrupt
		s.Total.ForcedExpire, s.Queues[queue.Hold].ForcedExpire = 3, 3
		s.Breakdown.Senders.MaxUndercount = 4
		if change != nil {
			change(s)
		}
		return s
	}
	text := func(s *queue.Summary) {
		s.NoArrivalTimes, s.Indistinct = true, []queue.Name{queue.Deferred, queue.Incoming, queue.Maildrop}
		for _, name := range s.Indistinct {
			delete(s.Queues, name)
		}
	}
	// none returns a summary without numbers.
	none := func(source string, filter queue.Filter) *queue.Summary {
		return &queue.Summary{Source: source, Partial: true, Filter: filter, Queues: map[queue.Name]*queue.Tally{}}
	}
	filter := queue.Filter{OlderThan: time.Hour}
	written := []queue.Reading{
		{Instance: queue.Instance{Name: "full", ConfigDir: "/etc/postfix"}, Summary: full(nil)},
		{Instance: queue.Instance{Name: "text"}, Summary: full(text)},
		{Instance: queue.Instance{Name: "down"}, Summary: full(func(s *queue.Summary) { s.Down = "refused" })},
		{Instance: queue.Instance{Name: "failed"}, Err: errors.New("denied")},
		{
			Instance: queue.Instance{Name: "late"},
			Summary:  full(func(s *queue.Summary) { s.Filter, s.Partial = filter, true }),
			Err:      context.DeadlineExceeded,
		},
	}
	want := slices.Clone(written)
	want[3].Summary, want[4].Summary = none("", queue.Filter{}), none("input", filter)
	var document bytes.Buffer
	if err := Write(&document, written, now); err != nil {
		t.Fatal(err)
	}
	got, _, err := Read(&document, now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got,
		cmpopts.IgnoreFields(queue.Summary{}, "Taken", "AsOf", "Visited"),
		cmp.Comparer(func(a, b time.Time) bool { return a.Unix() == b.Unix() }),
		cmp.Comparer(func(a, b error) bool { return fmt.Sprint(a) == fmt.Sprint(b) }),
	); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
	if !got[0].Complete() || got[2].Complete() {
		t.Error("full is not complete, or down is")
	}
}

// A snapshot is as old as its oldest numbers, and never from the future.
func TestSnapshotIsAsOldAsItsNumbers(t *testing.T) {
	for _, tt := range []struct {
		name        string
		first, last time.Duration // the ages of the numbers
		want        time.Duration
	}{
		{"as old", time.Minute, time.Minute, time.Minute},
		{"the first is older", time.Hour, time.Minute, time.Hour},
		{"the last is older", time.Minute, time.Hour, time.Hour},
		{"from the future", -time.Hour, -time.Minute, 0},
	} {
		first, last := summary(t, queue.Query{}), summary(t, queue.Query{})
		first.AsOf, last.AsOf = now.Add(-tt.first), now.Add(-tt.last)
		var document bytes.Buffer
		if err := Write(&document, []queue.Reading{
			{Instance: queue.Instance{Name: "first"}, Summary: first},
			{Instance: queue.Instance{Name: "last"}, Summary: last},
		}, now); err != nil {
			t.Fatal(err)
		}
		readings, taken, err := Read(&document, now)
		if want := now.Add(-tt.want).Unix(); err != nil || taken.Unix() != want || readings[0].Summary.AsOf.Unix() != want {
			t.Errorf("%s: taken %v, %v; want %v ago", tt.name, taken, err, tt.want)
		}
	}
}

func TestImpossibleNumbersAreRefused(t *testing.T) {
	const (
		head = `{"format": "` + Format + `", "version": 1, "taken": 5, "instances": [{"name": "x", "up": true, `
		one  = `{"messages": 1, "size_bytes": 5, "recipients": 1, "forced_expire": 0, "oldest_arrival": 1}`
		ones = `"total": ` + one + `, "queues": {"hold": ` + one + `}, `
	)
	tests := map[string]string{
		"equal bounds": `"total": ` + one + `, "queues": {"hold": {
			"messages": 1, "size_bytes": 5, "recipients": 1, "forced_expire": 0,
			"ages": {"bounds": [1, 1], "counts": [1, 0, 0], "sum": 1},
			"sizes": {"bounds": [1, 2], "counts": [1, 0, 0], "sum": 1}}}`,
		"a ranking with more of an age than its total": ones + `"breakdown": {"recipients":
			{"rows": [{"key": "a", "count": 1, "by_age": [2]}], "total": {"count": 1, "by_age": [1]}}}`,
		"a ranking with more than its total": ones + `"breakdown": {"recipients":
			{"rows": [{"key": "a", "count": 2}], "total": {"count": 1}}}`,
		"a sender with more than all": ones + `"breakdown": {"sender_domains":
			{"rows": [{"key": "a", "messages": 2}], "messages": 1}}`,
		"a problem":                  ones + `"breakdown": {"problems": [{"category": "x", "messages": -1}]}`,
		"an undercount":              ones + `"breakdown": {"sender_domains": {"error": -1}}`,
		"a number of logins":         ones + `"breakdown": {"logins": {"different": {"number": -1}}}`,
		"a number of domains":        ones + `"breakdown": {"recipient_domains": {"number": -1}}`,
		"a large message":            ones + `"breakdown": {"largest": {"id": "A", "waiting": 100, "done": -1}}`,
		"a total of a ranking":       ones + `"breakdown": {"recipients": {"total": {"count": -1}}}`,
		"a share of a sender":        ones + `"findings": {"sample": 1, "sender": {"kind": "login", "percent": 101}}`,
		"a share of a problem":       ones + `"findings": {"sample": 1, "problem": {"category": "x", "percent": -1}}`,
		"a top":                      ones + `"tops": {"domain": {"messages": -1}}`,
		"a number of a reason":       ones + `"deferral_reasons": {"other": -1}`,
		"an age of the filter":       ones + `"filter_older_than": -1`,
		"a number of force-expired":  strings.ReplaceAll(ones, `"forced_expire": 0`, `"forced_expire": -1`) + `"down": ""`,
		"a number of a queue":        `"total": ` + one + `, "queues": {"hold": {"messages": -1}}`,
		"numbers that are not known": `"queues": {"hold": ` + one + `}`,
	}
	for _, numbers := range []string{
		ones + `"down": ""`,
		ones + `"breakdown": {"problems": [{"category": "x", "messages": 0}]}`,
	} {
		if _, _, err := Read(strings.NewReader(head+numbers+"}]}"), now); err != nil {
			t.Errorf("%s: %v", numbers, err)
		}
	}
	for name, numbers := range tests {
		t.Run(name, func(t *testing.T) {
			if _, _, err := Read(strings.NewReader(head+numbers+"}]}"), now); !errors.Is(err, ErrDamaged) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"format": "postfix-queue-snapshot", "version": 1, "taken": 5, "instances": [{"name": "x", "up": true,
		"total": {"messages": 1, "oldest_arrival": -5}, "queues": {"hold": {"messages": 1}}}]}`))
	f.Add([]byte(`{"format": "postfix-queue-snapshot", "version": 1, "instances": [{"name": "x", "error": "y"}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		readings, _, err := Read(bytes.NewReader(doc), time.Unix(100, 0))
		if err != nil {
			return
		}
		for _, r := range readings {
			for _, m := range queue.Metrics() {
				if v, known := m.Value(r.Summary); known && v < 0 {
					t.Errorf("%s is %d", m.Name, v)
				}
			}
		}
	})
}

// What was found when a snapshot was written is read back, also of an instance that could not be read.
func TestTroublesAreReadBack(t *testing.T) {
	since := time.Unix(now.Add(-2*time.Hour).Unix(), 0)
	troubles := []queue.Trouble{
		{Name: "no_space", Severity: queue.Critical, FreeBytes: 5, NeededBytes: 7},
		{Name: "queue_manager", Severity: queue.Unconfirmed, Messages: 9, Since: since, Active: 3},
		{Name: "saturated", Severity: queue.Warning, NoneTaken: true},
		{Name: "clock", Severity: queue.Remark, Messages: 2},
	}
	s := &queue.Summary{
		Taken: now, AsOf: now, Source: queue.SpoolName, Troubles: troubles, Total: queue.Tally{Messages: 3, Oldest: since},
		Queues:   map[queue.Name]*queue.Tally{queue.Incoming: {Messages: 3, Oldest: since}},
		Arrivals: &queue.Arrivals{Last5m: 1, Last1h: 2, Ahead: 3}, Expiring: new(int64(1)),
		Space: &queue.Space{FreeBytes: 5, FreeInodes: new(int64(6))},
	}
	unseen := &queue.Summary{
		Source: queue.SpoolName, Troubles: []queue.Trouble{{Name: "unseen", Severity: queue.Remark}},
	}
	failed := &queue.Summary{Source: queue.SpoolName, Partial: true, Troubles: troubles[:1]}
	var doc bytes.Buffer
	if err := Write(&doc, []queue.Reading{
		{Instance: queue.Instance{Name: "stuck"}, Summary: s},
		{Instance: queue.Instance{Name: "failed"}, Summary: failed, Err: errors.New("denied")},
		{Instance: queue.Instance{Name: "unseen"}, Summary: unseen},
	}, now); err != nil {
		t.Fatal(err)
	}
	got, _, err := Read(&doc, now)
	if err != nil {
		t.Fatal(err)
	}
	read := got[0].Summary
	want := []any{troubles, s.Arrivals, s.Expiring, s.Space}
	if diff := cmp.Diff(want, []any{read.Troubles, read.Arrivals, read.Expiring, read.Space}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got[0].Up() || !got[0].Complete() {
		t.Errorf("up %v, complete %v", got[0].Up(), got[0].Complete())
	}
	if got[2].Up() || got[2].KnowsUp() || !got[2].Complete() {
		t.Errorf("unseen: up %v, known %v, complete %v", got[2].Up(), got[2].KnowsUp(), got[2].Complete())
	}
	if diff := cmp.Diff(troubles[:1], got[1].Summary.Troubles); diff != "" {
		t.Errorf("of the failure (-want +got):\n%s", diff)
	}
}
