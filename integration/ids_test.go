//go:build integration

package integration

import (
	"slices"
	"strings"
	"testing"
)

// What the filters let through, and nothing else, is put on hold by postsuper.
func TestIDsForPostsuper(t *testing.T) {
	for name, args := range map[string][]string{
		"spool": {"--source", "spool"}, "showq": {"--source", "showq"}, "postqueue": {"--source", "postqueue"},
	} {
		t.Run(name, func(t *testing.T) {
			p := startPostfix(t)
			var wanted []string
			for _, from := range []string{
				"anna@example.com", "hanna@example.com", "Anna@Example.com", "anna@example.com.example",
			} {
				id := p.send(mail{from: from, to: []string{"b@example.org"}})
				p.waitDeferred(id)
				if strings.EqualFold(from, "anna@example.com") {
					wanted = append(wanted, id)
				}
			}
			r := root.emit(t, append(args, "-f", "ids", "--sender", "=anna@example.com")...)
			if r.exitCode != 0 || r.stderr != "" {
				t.Fatal(r)
			}
			p.must(command{stdin: r.stdout}.run(t, "postsuper", "-h", "-"))
			held := p.queueIDs("hold")
			slices.Sort(held)
			slices.Sort(wanted)
			if !slices.Equal(held, wanted) {
				t.Errorf("on hold are %v, want %v", held, wanted)
			}
		})
	}
}
