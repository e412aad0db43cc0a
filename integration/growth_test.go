//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ageState makes the samples of a state file older, by both clocks.
func ageState(t testing.TB, path string, by time.Duration) {
	t.Helper()
	rewriteState(t, path, `"(?:wall|boot)_ms":(\d+)`, -by.Milliseconds())
}

// rewriteState adds something to each number in a state file that a pattern finds.
func rewriteState(t testing.TB, path, pattern string, add int64) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	finder := regexp.MustCompile(pattern)
	changed := finder.ReplaceAllStringFunc(string(content), func(found string) string {
		n := finder.FindStringSubmatch(found)[1]
		return strings.TrimSuffix(found, n) + strconv.FormatInt(int64(number(t, n))+add, 10)
	})
	if err := os.WriteFile(path, []byte(changed), 0); err != nil { // the file is there: it keeps owner and mode
		t.Fatal(err)
	}
}

// TestGrowth watches a real queue grow and drain, with the time between two checks moved into the state file.
func TestGrowth(t *testing.T) {
	for _, user := range []string{"root", "nobody"} {
		t.Run(user, func(t *testing.T) {
			p := startPostfix(t)
			p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
			state := filepath.Join(ownedDir(t, user), "state")
			as := command{user: user}
			check := func(args ...string) answer {
				t.Helper()
				return as.check(t, append([]string{"--state", state}, args...)...)
			}
			says := func(a answer, want string) {
				t.Helper()
				if !regexp.MustCompile(want).MatchString(a.stdout) {
					t.Errorf("want %q, got %s", want, a)
				}
			}
			says(check("-v", "-w", "growth=0"), `(?m)^POSTFIX_QUEUE OK - 1 email, .*[^\n]*$(?s:.*)^no growth yet: `)
			ageState(t, state, 5*time.Minute)
			p.fillQueue(60)
			a := check("-w", "50", "-c", "300", "-w", "growth=5000", "-v")
			// 60 in 5 minutes are 720 an hour; a slow machine takes a while.
			says(a, `^POSTFIX_QUEUE WARNING - 61 emails \(above 50\), .*, growing [67]\d\d an hour, `+
				`critical in about 2\dm(;.*)? \|`)
			says(a, `(?m)^growing [67]\d\d an hour, critical in about 2\dm$`)
			if g := a.perf["growth"]; g < 600 || g > 720 {
				t.Errorf("growth %d", g)
			}
			says(check("-w", "growth=500"), `^POSTFIX_QUEUE WARNING - growing [67]\d\d an hour \(above 500\), 61 emails, `)
			// Another filter, and so another number.
			says(check("-q", "active", "-v"), `(?m)^no growth yet: `)

			ageState(t, state, 14*time.Minute)
			p.deleteMail(20)
			says(check("-w", "10"),
				`^POSTFIX_QUEUE WARNING - 20 emails \(above 10\), .*, draining 1\d\d an hour, empty in about \d+m(;.*)? \|`)

			// The clock was set: nothing before it counts.
			rewriteState(t, state, `"wall_ms":(\d+)`, 20_000)
			says(check("-v"), `(?m)^no growth yet: `)
			// A boot ago.
			content, err := os.ReadFile(state)
			if err != nil {
				t.Fatal(err)
			}
			ageState(t, state, 5*time.Minute)
			says(check("-v"), `(?m)^neither growing nor draining$`)
			otherBoot := regexp.MustCompile(`"boot":"[^"]*"`).ReplaceAll(content, []byte(`"boot":"another"`))
			if err := os.WriteFile(state, otherBoot, 0); err != nil {
				t.Fatal(err)
			}
			ageState(t, state, 5*time.Minute)
			says(check("-v"), `(?m)^no growth yet: `)

			info, err := os.Stat(state)
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
			content, err = os.ReadFile(state)
			words := regexp.MustCompile(`"(?:postfix_queue_state|boot|series|wall_ms|boot_ms|emails)"|[0-9a-f-]{32,36}`)
			rest := words.ReplaceAllString(string(content), "")
			if err != nil || regexp.MustCompile(`[a-zA-Z@]`).MatchString(rest) {
				t.Errorf("%v, the state has words: %s", err, content)
			}
			if names := fileNames(t, filepath.Dir(state)); len(names) != 1 {
				t.Errorf("the directory has %q", names)
			}
		})
	}
}

// TestHostileState puts everything in the place of the state file. The root file system is read-only while the check
// runs, so that nothing but the directory of the test can come to harm.
func TestHostileState(t *testing.T) {
	p := startPostfix(t)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
	run := func(t *testing.T, user, script, state string) answer {
		t.Helper()
		f := &faults{t: t}
		wrapped := append(f.inside(user, script), program(t, checkProgram), "--state", state, "-v", "-w", "growth=0")
		return takeApart(t, root.run(t, wrapped[0], wrapped[1:]...))
	}
	lines := func(a answer) (about []string) {
		for line := range strings.Lines(a.stdout) {
			if regexp.MustCompile(`^(no growth|growing|neither growing|not remembered)`).MatchString(line) {
				about = append(about, line)
			}
		}
		return about
	}
	const precious = "precious\n"
	const (
		foreign, noState  = "no growth: .* belongs to another user; ", "no growth: .*: it is not a state file "
		aLink, notRegular = "no growth: .*: it is a link; ", "no growth: .*: it is not a regular file"
	)
	tests := []struct {
		name    string
		prepare string // in the directory of the file
		script  string // in the mount namespace, there
		want    string // about growth; "known" is a growth that is known
	}{
		{name: "a link to a file of root's", prepare: "ln -sf ../precious state", want: aLink},
		{name: "a link to /etc/passwd", prepare: "ln -sf /etc/passwd state", want: aLink},
		{name: "a device", prepare: "ln -sf /dev/null state", want: aLink},
		{name: "a FIFO", prepare: "rm state; mkfifo state", want: notRegular},
		{name: "a directory", prepare: "rm state; mkdir state", want: notRegular},
		{name: "of another user", prepare: "chown 12345 state", want: foreign},
		{name: "in a directory of another user", prepare: "chown 12345 .; chmod 755 .", want: foreign},
		{name: "in a public directory", prepare: "chmod 1777 .", want: "no growth: .*: others can write to "},
		{name: "a gigabyte", prepare: "truncate -s 1G state", want: noState},
		{name: "endless nesting", prepare: "yes '[' | head -c 900000 | tr -d '\\n' >state", want: noState},
		{name: "nothing in it", prepare: ": >state", want: noState},
		{name: "not JSON", prepare: "head -c 9999 /dev/urandom >state", want: noState},
		{name: "no directory", prepare: "rm -r ../dir", want: "no growth: .*: no such file or directory"},
		{
			name: "in a read-only file system", script: "mount --bind . . && mount -o remount,bind,ro .",
			want: "known not remembered: cannot write .*: read-only file system",
		},
		{
			name: "on a full disk", script: "cp -p state ..; mount -t tmpfs -o size=8k,mode=755 none .; " +
				"cp -p ../state $PWD/; chown --reference=../state $PWD; (cat /dev/zero >$PWD/filler) 2>/dev/null || :",
			want: "known not remembered: cannot write .*: no space left on device",
		},
	}
	for _, user := range []string{"root", "nobody"} {
		for _, tt := range tests {
			t.Run(tt.name+", for "+user, func(t *testing.T) {
				top := publicTempDir(t)
				dir := filepath.Join(top, "dir")
				state := filepath.Join(dir, "state")
				who := credential(t, user)
				if err := os.WriteFile(filepath.Join(top, "precious"), []byte(precious), 0o600); err != nil {
					t.Fatal(err)
				}
				if r := root.run(t, "install", "-d", "-m", "700", "-o", fmt.Sprint(who.Uid), dir); r.exitCode != 0 {
					t.Fatal(r)
				}
				if got := lines(run(t, user, ":", state)); len(got) != 1 || !strings.HasPrefix(got[0], "no growth yet: ") {
					t.Fatalf("got %q", got)
				}
				ageState(t, state, 5*time.Minute)
				if r := root.run(t, "sh", "-ec", "cd "+dir+"; "+tt.prepare); r.exitCode != 0 {
					t.Fatal(r)
				}
				script := ":"
				if tt.script != "" {
					script = "cd " + dir + "; " + strings.ReplaceAll(tt.script, "$PWD", dir)
				}
				a := run(t, user, script, state)
				got := strings.ReplaceAll(strings.Join(lines(a), ""), "neither growing nor draining\n", "known ")
				if a.state != "OK" || !regexp.MustCompile("^"+tt.want).MatchString(got) {
					t.Errorf("want OK and %q, got %s", tt.want, a)
				}
				if content, err := os.ReadFile(filepath.Join(top, "precious")); err != nil || string(content) != precious {
					t.Errorf("%q, %v", content, err)
				}
				for _, name := range fileNames(t, top) {
					if inner, err := os.ReadDir(filepath.Join(top, name)); err == nil && len(inner) > 1 {
						t.Errorf("left behind: %v", inner)
					}
				}
			})
		}
	}
}

// TestStatesAtOnce runs many checks at once with one file, and one while the file is locked.
func TestStatesAtOnce(t *testing.T) {
	p := startPostfix(t)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
	state := filepath.Join(ownedDir(t, "nobody"), "state")
	// Four filters, each of which lets the email through.
	args := func(i int) []string { return []string{"--state", state, "-v", "--sender", fmt.Sprint("!", i%4)} }
	for range 5 {
		var running []*runningCommand
		for i := range 12 {
			running = append(running, nobody.start(t, program(t, checkProgram), args(i)...))
		}
		for i, r := range running {
			a := takeApart(t, r.wait(), args(i)...)
			late := regexp.MustCompile(`(?m)^no growth(?: yet|: cannot write .* another check is writing to it$)`)
			if a.state != "OK" || !late.MatchString(a.stdout) {
				t.Errorf("got %s", a)
			}
			if names := fileNames(t, filepath.Dir(state)); i == len(running)-1 && len(names) != 1 {
				t.Errorf("the directory has %q", names)
			}
		}
	}
	content, err := os.ReadFile(state)
	if err != nil || !regexp.MustCompile(`^{"postfix_queue_state":1,.*}\n$`).Match(content) {
		t.Errorf("%q, %v", content, err)
	}

	nobody.check(t, args(1)...)
	ageState(t, state, 5*time.Minute)
	file, err := os.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	a := nobody.check(t, args(1)...)
	after, err := os.ReadFile(state)
	const busy = "\nneither growing nor draining\nnot remembered: cannot write %s: another check is writing to it\n"
	if a.state != "OK" || !strings.Contains(a.stdout, fmt.Sprintf(busy, state)) ||
		err != nil || string(after) != string(before) {
		t.Errorf("%v, got %s", err, a)
	}
}
