package snapshot

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/queue"
)

// A number that is added to queue.Tally must come back from a snapshot, or it is a zero there.
func TestSnapshotKeepsEveryFieldOfATally(t *testing.T) {
	s := summary(t, queue.Query{})
	deferred := s.Queues[queue.Deferred]
	total, inQueue := reflect.ValueOf(&s.Total).Elem(), reflect.ValueOf(deferred).Elem()
	for i := range total.NumField() {
		if total.Field(i).Kind() == reflect.Int64 { // the other queues keep what they have
			total.Field(i).SetInt(total.Field(i).Int() - inQueue.Field(i).Int() + int64(100+i))
			inQueue.Field(i).SetInt(int64(100 + i))
		}
	}
	s.Total.Oldest, deferred.Oldest = time.Unix(1772334000, 0), time.Unix(1772334000, 0)
	readings, _, err := Read(strings.NewReader(written(t, s)), now)
	if err != nil {
		t.Fatal(err)
	}
	got := readings[0].Summary
	s.Queues[queue.Deferred].Histograms.Until = got.Queues[queue.Deferred].Histograms.Until // whole seconds
	if diff := cmp.Diff(s.Total, got.Total); diff != "" {
		t.Errorf("total (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(s.Queues[queue.Deferred], got.Queues[queue.Deferred]); diff != "" {
		t.Errorf("deferred (-want +got):\n%s", diff)
	}
}
