package suggest

import (
	"slices"
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"emails", "size", "age", "active", "deferred", "hold", "incoming"}
	tests := []struct {
		name string
		want string // empty: there is none
	}{
		{"emals", "emails"},
		{"emaisl", "emails"},
		{"EMAILS", "emails"},
		{"defered", "deferred"},
		{"defrred", "deferred"},
		{"deffered", "deferred"},
		{"incomming", "incoming"},
		{"act", "active"},
		{"a", "age"}, // the first of those that begin so
		{"hodl", "hold"},
		{"siz", "size"},
		{"sizze", "size"},
		{"holds", "hold"},
		{"xage", "age"},
		{"ago", "age"},
		{"xx", ""},
		{"corrupt", ""},
		{"", ""},
	}
	for _, tt := range tests {
		got, ok := Nearest(tt.name, known)
		if got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: got %q, %v; want %q", tt.name, got, ok, tt.want)
		}
	}
}

func TestUnknown(t *testing.T) {
	known, list := []string{"auto", "spool"}, []string{"auto", "spool", "..."}
	for name, want := range map[string]string{
		"spol": `unknown source "spol"; did you mean spool?`,
		"x":    `unknown source "x"; known: auto, spool, ...`,
	} {
		if got := Unknown("source", name, known, list).Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "", 3},
		{"abc", "abc", 0},
		{"abc", "abxc", 1},
		{"abc", "ac", 1},
		{"abc", "axc", 1},
		{"abc", "acb", 1},
		{"abcd", "badc", 2},
		{"ca", "abc", 3}, // no letter changes twice
		{"kitten", "sitting", 3},
	}
	for _, tt := range tests {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%s, %s: got %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func FuzzNearest(f *testing.F) {
	f.Add("emals", "emails,size,age")
	f.Add("", "a,,b")
	f.Fuzz(func(t *testing.T, name, list string) {
		if len(name)*len(list) > 1<<16 {
			return // names are short
		}
		known := strings.Split(list, ",")
		meant, ok := Nearest(name, known)
		switch {
		case ok && !slices.Contains(known, meant):
			t.Errorf("%q is not known", meant)
		case !ok && meant != "":
			t.Errorf("%q is not meant", meant)
		}
		if d := distance(name, list); d != distance(list, name) || d > max(len(name), len(list)) ||
			(d == 0) != (name == list) {
			t.Errorf("the distance of %q and %q is %d", name, list, d)
		}
	})
}
