package queue

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTrace(t *testing.T) {
	tests := []struct {
		name    string
		reading Reading
		want    []string
	}{
		{
			"a program was run",
			Reading{
				Summary: &Summary{Source: "postqueue", Facts: Facts{Detail: "/usr/sbin/postqueue -j"}},
				Took:    520 * time.Millisecond,
			},
			[]string{"source postqueue: /usr/sbin/postqueue -j, 0.520 s"},
		},
		{
			"there is none",
			Reading{
				Summary:    &Summary{Source: "postqueue"},
				PassedOver: []Attempt{{Source: "spool", Err: errors.New("no main.cf")}},
			},
			[]string{"source postqueue, 0.000 s", "not spool: no main.cf"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.reading.Trace()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
