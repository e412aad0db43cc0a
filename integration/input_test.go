//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestInput reads listings of a real queue that are incomplete, old or unreadable.
func TestInput(t *testing.T) {
	p := startWithMail(t, 3)
	text, lines := p.must(p.postqueue("-p")).stdout, p.must(p.postqueue("-j")).stdout
	// cut takes a number of lines off the end.
	cut := func(listing string, n int) string {
		all := strings.SplitAfter(listing, "\n")
		return strings.Join(all[:len(all)-1-n], "")
	}
	firstMessage := text[strings.Index(text, "\n")+1 : strings.Index(text, "\n\n")+2]
	// The text listing ends with a reason, a recipient, a blank line and the summary.
	tests := map[string]struct {
		content      string
		cause, check string
	}{
		"nothing": {
			content: "",
			cause:   `the input is empty`,
		},
		"no listing": {
			content: "root:x:0:0:root:/root:/bin/sh\n",
			cause:   `the input is not the output of postqueue -j or postqueue -p`,
		},
		"what postqueue said instead of a listing": {
			content: "postqueue: fatal: Queue report unavailable\n",
			cause:   `there is no listing, Postfix says: postqueue: fatal: Queue report unavailable`,
		},
		"JSON cut inside a line": {
			content: strings.TrimSuffix(lines, "}\n"),
			cause:   `the listing is cut off`,
			check:   `at least 2 emails$`,
		},
		"JSON cut inside its first line": {
			content: lines[:50],
			cause:   `the listing is cut off`,
		},
		"text cut before its summary": {
			content: cut(text, 1),
			cause:   `the listing is cut off`,
			check:   `at least 3 emails$`,
		},
		"text cut inside its summary": {
			content: strings.TrimSuffix(text, "equests.\n"),
			cause:   `the listing is cut off`,
			check:   `at least 3 emails$`,
		},
		"text cut inside a message": {
			content: cut(text, 4),
			cause:   `the listing is cut off`,
			check:   `at least 3 emails$`,
		},
		"text cut after its header": {
			content: strings.SplitAfter(text, "\n")[0],
			cause:   `the listing is cut off`,
		},
		"text with a message that is missing": {
			content: strings.Replace(text, firstMessage, "", 1),
			cause:   `the listing has 2 messages of 0 KiB, but its summary says 3`,
			check:   `at least 2 emails$`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			args := []string{"--input", saveListing(t, test.content)}
			failure{as: nobody, args: args, cause: test.cause, check: test.check}.verify(t)
		})
	}

	complete := saveListing(t, lines)
	t.Run("whole", func(t *testing.T) {
		if a := nobody.check(t, "-i", complete); a.state != "OK" || a.perf["emails"] != 3 {
			t.Errorf("want OK and 3 messages, got %s", a)
		}
	})
	for name, age := range map[string]time.Duration{"stale": time.Hour, "from the future": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			written := time.Now().Add(-age)
			if err := os.Chtimes(complete, written, written); err != nil {
				t.Fatal(err)
			}
			failure{
				as: nobody, args: []string{"-i", complete},
				cause: `was written (1h ago|59m [0-9]+s in the future|1h in the future)`,
			}.verify(t)
			if a := nobody.check(t, "-i", complete, "--max-age", "0"); a.state != "OK" || a.perf["emails"] != 3 {
				t.Errorf("of any age: want OK and 3 messages, got %s", a)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		failure{
			as: nobody, args: []string{"-i", "/nowhere/listing"},
			cause: `/nowhere/listing: no such file or directory`,
		}.verify(t)
	})
	t.Run("not readable", func(t *testing.T) {
		secret := saveListing(t, lines)
		chmod(t, secret, 0o600)
		failure{as: nobody, args: []string{"-i", secret}, cause: `permission denied`}.verify(t)
	})
	t.Run("a directory", func(t *testing.T) {
		failure{as: nobody, args: []string{"-i", "/etc"}, cause: `/etc`}.verify(t)
	})
	t.Run("a pipe that nobody writes to", func(t *testing.T) {
		pipe := filepath.Join(publicTempDir(t), "pipe")
		if err := unix.Mkfifo(pipe, 0o644); err != nil {
			t.Fatal(err)
		}
		failure{as: nobody, args: []string{"-i", pipe, "-t", "0.5"}, cause: `input|could not be read within`}.verify(t)
	})
}

// A listing that root makes must have standard error in it, because only there postqueue says that Postfix is down.
// docs/containers.md has this pipe.
func TestListingWithStandardError(t *testing.T) {
	p := startPostfix(t)
	verify := func(exitCode int, want string) {
		t.Helper()
		pipe := "sh -c 'exec postqueue -p 2>&1' | " + program(t, checkProgram) + " -i -"
		if r := root.run(t, "sh", "-c", pipe); r.exitCode != exitCode || !strings.Contains(r.stdout, want) {
			t.Errorf("want exit code %d and %q, got %s", exitCode, want, r)
		}
	}
	verify(0, "queue is empty")
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
	verify(0, "emails=1;")
	p.stop()
	verify(2, "mail system is down")
}
