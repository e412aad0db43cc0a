package source

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/queue"
)

func TestParsePostmulti(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		want  []queue.Instance
		fails bool
	}{
		{
			name:  "one",
			lines: []string{"-               -               y         /etc/postfix"},
			want:  []queue.Instance{{Name: "local", ConfigDir: "/etc/postfix"}},
		},
		{
			name: "several",
			lines: []string{
				"-               -               y         /etc/postfix",
				"postfix-out     mta             y         /etc/postfix-out",
				"postfix-old     mta             n         /etc/postfix-old",
				"-               -               y         /etc/postfix-x",
				"",
			},
			want: []queue.Instance{
				{Name: "local", ConfigDir: "/etc/postfix"}, {Name: "postfix-out", ConfigDir: "/etc/postfix-out"}, {ConfigDir: "/etc/postfix-x"},
			},
		},
		{name: "none enabled", lines: []string{"- - n /etc/postfix"}, fails: true},
		{name: "something else", lines: []string{"postmulti: fatal: no"}, fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parsePostmulti(tt.lines)
			if (err != nil) != tt.fails {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("instances (-want +got):\n%s", diff)
			}
		})
	}
}

// A reading that nothing can interrupt is given up.
func TestInTime(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := inTime(ctx, func() (int, error) { <-hang; return 1, nil })
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "did not end in time") {
		t.Errorf("error %v", err)
	}
	if _, err := inTime(t.Context(), func() (int, error) { panic("oops") }); err == nil || !strings.Contains(err.Error(), "internal error: oops") {
		t.Errorf("error %v", err)
	}
	if n, err := inTime(t.Context(), func() (int, error) { return 7, nil }); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
