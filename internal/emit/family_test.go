package emit

import (
	"testing"

	"example.org/postfix-queue-monitor/internal/emit/emittest"
	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/units"
)

// A metric of a new family is in every format before any format has a row for it.
func TestNewFamilyNeedsNoRow(t *testing.T) {
	value := func(n int64) func(*queue.Summary) (int64, bool) {
		return func(*queue.Summary) (int64, bool) { return n, true }
	}
	local := map[string]string{"instance_name": "local"}
	tests := []struct {
		name   string
		metric queue.Metric
		want   map[string]string // series by format
		shown  map[string]string // value, if the format has another unit
	}{
		{
			name: "count",
			metric: queue.Metric{Name: "waiting", Family: "waiting", Unit: units.Count,
				Help: "mail that waits", Value: value(7)},
			want: map[string]string{
				"graphite":   "postfix_queue.local.waiting",
				"influx":     emittest.Series("postfix_queue_total.waiting", local),
				"netdata":    "postfix_local.qwaiting waiting",
				"prometheus": emittest.Series("postfix_queue_waiting", local),
				"statsd":     "postfix_queue.local.waiting",
			},
		},
		{
			name: "size",
			metric: queue.Metric{Name: "room", Family: "room", Unit: units.Bytes,
				Help: "bytes that are free", Value: value(7168)},
			want: map[string]string{
				"netdata":    "postfix_local.qroom room",
				"prometheus": emittest.Series("postfix_queue_room_bytes", local),
			},
			shown: map[string]string{"netdata": "7", "prometheus": "7168"},
		},
	}
	for _, tt := range tests {
		for format, series := range tt.want {
			t.Run(tt.name+" "+format, func(t *testing.T) {
				o := options()
				o.Metrics = []queue.Metric{tt.metric}
				want := "7"
				if tt.shown != nil {
					want = tt.shown[format]
				}
				got := decode(t, format, encode(t, format, readings()[:1], o))
				if got[series] != want {
					t.Errorf("%s is %q, want %s, among %v", series, got[series], want, got)
				}
			})
		}
	}
}
