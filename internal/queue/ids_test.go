package queue

import "testing"

func TestIDs(t *testing.T) {
	mail := func(queue Name, ids ...string) (list []Message) {
		for _, id := range ids {
			list = append(list, Message{Queue: queue, ID: id})
		}
		return list
	}
	tests := []struct {
		name  string
		list  []Message
		query Query
		want  string // "nil": unknown
	}{
		{"none", nil, Query{IDs: true}, ""},
		{"short and long", mail(Active, "0A1B2C", "4jY9bw2tYhz1SRtX"), Query{IDs: true}, "0A1B2C\n4jY9bw2tYhz1SRtX\n"},
		{"those that count", append(mail(Active, "0A1B2C"), mail(Hold, "0A1B2D")...),
			Query{IDs: true, Filter: Filter{Queues: []Name{Hold}}}, "0A1B2D\n"},
		{"not asked for", mail(Active, "0A1B2C"), Query{}, "nil"},
		{"every message, as postsuper understands it", mail(Active, "0A1B2C", "ALL"), Query{IDs: true}, "nil"},
		{"an option", mail(Active, "-d123456"), Query{IDs: true}, "nil"},
		{"two lines", mail(Active, "0A1B2C\n0A1B2D"), Query{IDs: true}, "nil"},
		{"unknown", mail(Active, ""), Query{IDs: true}, "nil"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Summarize(t.Context(), messages{list: tt.list}, tt.query)
			got := string(s.IDs)
			if s.IDs == nil {
				got = "nil"
			}
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}
