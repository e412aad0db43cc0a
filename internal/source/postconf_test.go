package source

import (
	"strings"
	"testing"
)

func TestPlainSetting(t *testing.T) {
	tests := []struct {
		name, mainCF, want string
		fails              bool
	}{
		{name: "nothing", want: "/default"},
		{name: "said", mainCF: "queue_directory = /var/spool/out\n", want: "/var/spool/out"},
		{name: "said twice", mainCF: "queue_directory=/a\nqueue_directory =/b\n", want: "/b"},
		{name: "a comment", mainCF: "#queue_directory = /a\n", want: "/default"},
		{name: "on the next line", mainCF: "queue_directory =\n# comment\n\n   /a\nother = x\n /b\n", want: "/a", fails: true},
		{name: "another parameter's continuation", mainCF: "other = x\n queue_directory = /a\n", want: "/default"},
		{name: "a name that only begins so", mainCF: "queue_directory_x = /a\n", want: "/default"},
		{name: "refers to another", mainCF: "queue_directory = $base/a\n", fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := plainSetting(strings.NewReader(tt.mainCF), "queue_directory", "/default")
			if (err != nil) != tt.fails || (!tt.fails && got != tt.want) {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}
