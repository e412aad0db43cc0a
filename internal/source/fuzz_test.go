package source

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"example.org/postfix-queue-monitor/internal/queue"
)

var (
	notALine  = regexp.MustCompile(`(?m)^[ \t]*(#.*)?\n`)
	continued = regexp.MustCompile(`\n[ \t]+`)
)

// settingOf is a simple reference for plainSetting, for a main.cf of printable ASCII.
func settingOf(mainCF, parameter, byDefault string) string {
	mainCF = notALine.ReplaceAllString(mainCF+"\n", "")
	mainCF = continued.ReplaceAllString("\n"+mainCF, " ")
	value := byDefault
	for line := range strings.Lines(mainCF) {
		// A blank at the beginning: the first line continues nothing.
		if name, text, _ := strings.Cut(line, "="); line[0] != ' ' && strings.Trim(name, " \t\n") == parameter {
			value = strings.Trim(text, " \t\n")
		}
	}
	return value
}

func FuzzPlainSetting(f *testing.F) {
	f.Add("queue_directory = /var/spool/postfix\nmail_owner = postfix\n")
	f.Add("queue_directory =\n# comment\n\n   /a\nother = x\n /b\n")
	f.Add(" queue_directory = /a\n")
	f.Add("queue_directory=/a\nqueue_directory\nqueue_directory = $x/b\n\tc")
	f.Fuzz(func(t *testing.T, mainCF string) {
		got, err := plainSetting(mainCF)
		if err != nil {
			if got != "" {
				t.Errorf("%q, although %v", got, err)
			}
		} else if strings.ContainsAny(got, "$ \t\r\v\f") {
			t.Errorf("%q is not plain", got)
		}
		wellFormed := func(r rune) bool { return r == '\n' || r == '\t' || ' ' <= r && r <= '~' }
		if len(mainCF) > 1000 || strings.ContainsFunc(mainCF, func(r rune) bool { return !wellFormed(r) }) {
			return
		}
		want := settingOf(mainCF, "queue_directory", "/default")
		switch isPlain := !strings.ContainsAny(want, "$ \t"); {
		case errors.Is(err, errNotPlain) && (!isPlain || continued.MatchString(mainCF)):
			// Postfix is asked, also about a value of several lines.
		case !isPlain || got != want || err != nil:
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	})
}

func FuzzParsePostmulti(f *testing.F) {
	f.Add("-               -               y         /etc/postfix\npostfix-out     mta             y         " +
		"/etc/postfix-out\n")
	f.Add("- - n /etc/postfix\n\npostmulti: fatal: x")
	f.Fuzz(func(t *testing.T, output string) {
		list, err := parsePostmulti(strings.Split(output, "\n"))
		if (err == nil) != (len(list) > 0) {
			t.Errorf("%d instances, %v", len(list), err)
		}
		for _, i := range list {
			if !filepath.IsAbs(i.ConfigDir) || strings.ContainsFunc(i.Name+i.ConfigDir, unicode.IsSpace) {
				t.Errorf("instance %+v", i)
			}
		}
	})
}

func FuzzPostqueueFailure(f *testing.F) {
	for _, text := range []string{
		"Queue report unavailable - mail system is down (Connect to the Postfix showq service: Connection refused)",
		"User nagios(105) is not allowed to view the mail queue",
		"User unknown(54321) is not allowed to view the mail queue",
		"Connect to the Postfix showq service: Permission denied",
		"open /etc/postfix/main.cf: No such file or directory",
		"malformed showq server response",
	} {
		f.Add("postqueue: fatal: " + text + "\n")
	}
	f.Add("postqueue: error: unauthorized configuration directory name: /etc/postfix-out\npostqueue: fatal: x\n")
	f.Add("postqueue: invalid option -- 'j'\n")
	f.Add("")
	f.Setenv("PATH", f.TempDir()) // no postconf
	p := &Postqueue{newPostfix("/etc/postfix-out", []string{f.TempDir()}, false)}
	failure := &os.PathError{Op: "exec", Path: "x", Err: os.ErrPermission}
	f.Fuzz(func(t *testing.T, stderr string) {
		c := command{"/usr/sbin/postqueue", []string{"-j"}}
		for _, err := range []error{errors.New("exit status 69"), failure} {
			text := errorText(p.explain(t.Context(), c, stderr, err))
			// It may repeat the diagnostics, and it adds names of programs and directories.
			if text == "" || len(text) > 2*len(stderr)+1000 || strings.Contains(text, "\n") {
				t.Errorf("%q", text)
			}
		}
		if reason, ok := cutDiagnostic(stderr, "fatal: "); strings.Contains(reason, "\n") ||
			ok != hasLine(stderr, "postqueue: fatal: ") {
			t.Errorf("%q, %v", reason, ok)
		}
	})
}

func hasLine(text, start string) bool { return strings.Contains("\n"+text, "\n"+start) }

func FuzzInput(f *testing.F) {
	addListings(f, "small.*")
	addListings(f, "empty.txt")
	f.Add([]byte(" \n"))
	f.Add([]byte("{"))
	f.Add([]byte(`{"format": "postfix-queue-snapshot", "version": 1, "instances": [{"name": "x", "error": "y"}]}`))
	path := filepath.Join(f.TempDir(), "input")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, allowEmpty := range []bool{false, true} {
			readings, err := (&input{path: path, allowEmpty: allowEmpty}).readings(t.Context(), queue.Query{})
			if err != nil {
				if readings != nil || err.Error() == "" {
					t.Errorf("%+v, although %q", readings, err)
				}
				continue
			}
			if len(readings) == 0 {
				t.Error("no reading")
			}
			isSnapshot := snapshotStart().Match(bytes.TrimLeft(content, " \t\r\n"))
			for _, r := range readings {
				s := r.Summary
				switch {
				case s.Partial != (r.Err != nil):
					t.Errorf("partial %v, %v", s.Partial, r.Err)
				case isSnapshot:
				case s.Total.Messages > int64(bytes.Count(content, []byte("\n"))):
					t.Errorf("%d messages", s.Total.Messages)
				case r.Complete() && s.Unreadable > 0 && s.Unreadable == s.Total.Messages:
					t.Error("complete, although nothing can be read")
				case r.Complete() && s.Total.Messages == 0 && !allowEmpty && !bytes.Contains(content, []byte(textEmpty)):
					t.Error("OK for an empty queue, of which nothing is said")
				}
			}
		}
	})
}
