//go:build integration

package integration

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A metricStore keeps numbers with the times when they were true.
type metricStore struct {
	push    func(t *testing.T) result // sends the numbers of all instances
	failure int                       // its exit code when one of them is down
	// stored returns all points by series once everything sent so far is there.
	stored func() map[string][]storedPoint
	series func(instance, metric string) string
}

// A storedPoint is a number, and the second since 1970 when it was true.
type storedPoint struct{ at, value int64 }

// verify stores the numbers of two instances, and again when one of them is down.
func (s metricStore) verify(t *testing.T) {
	p := startPostfix(t)
	out := newSecondInstance(p)
	out.start()
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org", "c@example.org"}, sizeBytes: 3000}))
	p.fillQueue(4)
	outQueue := out.deferMail(2)

	var r result
	ran := during(func() { r = s.push(t) })
	if r.exitCode != 0 || r.stdout != "" || r.stderr != "" {
		t.Errorf("want success without a word, got %s", r)
	}
	stored := s.stored()
	local, second := s.ofInstance(stored, "local"), s.ofInstance(stored, "postfix-out")
	checkPoints(t, local, ran, p.list())
	checkPoints(t, second, ran, outQueue)
	if len(stored) != len(local)+len(second) {
		t.Errorf("want only the numbers of two instances, got %v", stored)
	}

	out.stop()
	p.fillQueue(3)
	ran = during(func() { r = s.push(t) })
	if r.exitCode != s.failure || r.stdout != "" || !strings.Contains(r.stderr, "postfix-out: "+mailSystemDown) {
		t.Errorf("want to be told that postfix-out is down, got %s", r)
	}
	stored = s.stored()
	checkPoints(t, s.ofInstance(stored, "local"), ran, p.list())
	if diff := cmp.Diff(second, s.ofInstance(stored, "postfix-out"), cmp.AllowUnexported(storedPoint{})); diff != "" {
		t.Errorf("numbers came of an instance that was down (-before +after):\n%s", diff)
	}
}

// ofInstance is what is stored of an instance, by metric.
func (s metricStore) ofInstance(stored map[string][]storedPoint, instance string) map[string][]storedPoint {
	points := make(map[string][]storedPoint)
	for _, metric := range metricNames() {
		if of, known := stored[s.series(instance, metric)]; known {
			points[metric] = of
		}
	}
	return points
}

// checkPoints compares the last points of an instance with its queue while the emitter ran.
func checkPoints(t *testing.T, stored map[string][]storedPoint, ran timespan, queue listing) {
	t.Helper()
	got := make(map[string]int64)
	for metric, points := range stored {
		last := points[len(points)-1]
		if last.at < ran.from.Unix() || last.at > ran.to.Unix() {
			t.Errorf("%s is of %d, want %d to %d", metric, last.at, ran.from.Unix(), ran.to.Unix())
		}
		got[metric] = last.value
	}
	checkMetrics(t, got, ran, queue, queueNames)
}
