package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/spool"
)

// plainSetting returns queue_directory as a main.cf sets it.
func plainSetting(text string) (string, error) {
	settings, err := parseMainCF(strings.NewReader(text))
	if err != nil {
		return "", err
	}
	return settings.plain("queue_directory", "/default")
}

func TestPlainSetting(t *testing.T) {
	tests := []struct {
		name, mainCF, want string
		fails              bool
	}{
		{name: "nothing", want: "/default"},
		{name: "set", mainCF: "queue_directory = /var/spool/out\n", want: "/var/spool/out"},
		{name: "set twice", mainCF: "queue_directory=/a\nqueue_directory =/b\n", want: "/b"},
		{name: "set to nothing", mainCF: "queue_directory =\n", want: ""},
		{name: "a comment", mainCF: "#queue_directory = /a\n", want: "/default"},
		{
			name:   "on the next line",
			mainCF: "queue_directory =\n# comment\n\n   /a\nother = x\n /b\n",
			want:   "/a",
			fails:  true,
		},
		{name: "another parameter's continuation", mainCF: "other = x\n queue_directory = /a\n", want: "/default"},
		{name: "a name that only begins so", mainCF: "queue_directory_x = /a\n", want: "/default"},
		{name: "refers to another", mainCF: "queue_directory = $base/a\n", fails: true},
		{name: "two words", mainCF: "queue_directory = /a b\n", fails: true},
		{name: "two words with a tab between them", mainCF: "queue_directory = /a\tb\n", fails: true},
		{name: "a line too long to read", mainCF: "x = " + strings.Repeat("x", 100<<10) + "\n", fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := plainSetting(tt.mainCF)
			if (err != nil) != tt.fails || (!tt.fails && got != tt.want) {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// postconf is asked only for what cannot be read in main.cf.
func TestQueueDir(t *testing.T) {
	spool, other := t.TempDir(), t.TempDir()
	for _, dir := range []string{spool, other} {
		if err := os.Mkdir(filepath.Join(dir, "active"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name     string
		mainCF   string
		postconf string
		want     string
		err      string
	}{
		{name: "a plain value", mainCF: "queue_directory = " + spool, postconf: "exit 1", want: spool},
		{name: "a reference", mainCF: "queue_directory = $x", postconf: "echo " + other, want: other},
		{name: "a relative path", mainCF: "queue_directory = spool", postconf: "echo " + other, want: other},
		{name: "not a queue directory", mainCF: "queue_directory = " + t.TempDir(), postconf: "echo " + other, want: other},
		{
			name:     "postconf fails",
			mainCF:   "queue_directory = $x",
			postconf: "echo 'postconf: fatal: y' >&2; exit 1",
			err:      "postconf -c CONFIG -xh queue_directory: exit status 1: postconf: fatal: y; run it by hand as this user",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			programs := install(t, map[string]string{
				"postconf": `[ "$3 $4" = "-xh queue_directory" ] || exit 2; ` + tt.postconf,
			})
			configDir := t.TempDir()
			writeFile(t, filepath.Join(configDir, "main.cf"), tt.mainCF+"\n", 0o644)
			got, err := newPostfix(configDir, []string{programs}, false).queueDir(t.Context())
			said := strings.NewReplacer(programs+"/", "", configDir, "CONFIG").Replace(errorText(err))
			if got != tt.want || said != tt.err {
				t.Errorf("got %s, %q; want %s, %q", got, said, tt.want, tt.err)
			}
		})
	}
}

func TestPathOfMainCF(t *testing.T) {
	for dir, want := range map[string]string{
		"":                 "/etc/postfix/main.cf",
		"/etc/postfix-out": "/etc/postfix-out/main.cf",
	} {
		if got := newPostfix(dir, nil, false).mainCFPath(); got != want {
			t.Errorf("%s: got %s, want %s", dir, got, want)
		}
	}
}

// The setting may be plain, computed, unknown to an old Postfix, or out of reach.
func TestShowsUTF8(t *testing.T) {
	tests := []struct {
		name, mainCF, postconf string
		want                   bool
	}{
		{"plain yes", "smtputf8_enable = yes", "exit 1", true},
		{"plain no", "smtputf8_enable=No", "exit 1", false},
		{"by default", "", "echo yes", true},
		{"by default of an old level", "", "echo no", false},
		{"computed", "smtputf8_enable = $x", "echo no", false},
		{"not known to Postfix", "", "echo 'postconf: warning: smtputf8_enable: unknown parameter' >&2", false},
		{"out of reach", "", "exit 1", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			programs := install(t, map[string]string{
				"postconf": `[ "$3 $4" = "-xh smtputf8_enable" ] || exit 2; ` + tt.postconf,
			})
			configDir := t.TempDir()
			writeFile(t, filepath.Join(configDir, "main.cf"), tt.mainCF+"\n", 0o644)
			if got := newPostfix(configDir, []string{programs}, false).showsUTF8(t.Context()); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// What an ordinary user may not read needs other rights, not another file, and the same words whatever the source.
func TestUnreadableConfig(t *testing.T) {
	asOrdinaryUser(t)
	tests := []struct {
		name   string
		closed string // below DIR
		want   string
	}{
		{"main.cf", "etc/main.cf", "chmod 644 DIR/etc/main.cf"},
		{"its directory", "etc", "chmod a+x DIR/etc"},
		{"the directory above", "", "chmod a+x DIR"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			top := newDirectory(t)
			programs := install(t, map[string]string{
				"postconf":  "exit 1",
				"postqueue": `echo "postqueue: fatal: open $2/main.cf: Permission denied" >&2; exit 69`,
			})
			top.mode(tt.closed, 0, "")
			defer top.mode(tt.closed, 0o755, "")
			for _, source := range Names() {
				readings := ReadAll(t.Context(), Request{
					ConfigDirs: []string{top.path("etc")}, Source: source, programDirs: []string{programs},
				})
				want := "postqueue cannot open DIR/etc/main.cf: Permission denied; as root: " + tt.want
				if got := strings.ReplaceAll(errorText(readings[0].Err), top.name, "DIR"); got != want {
					t.Errorf("%s: got  %s\nwant %s", source, got, want)
				}
			}
		})
	}
}

// Limits come from main.cf, without a process if that is enough, and are the defaults if they cannot be had.
func TestLimits(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		name, mainCF, postconf string
		active                 int64
		run, mail, bounces     time.Duration // mail is -1 if the lifetimes are unknown
	}{
		{"the defaults", "", "exit 1", 20_000, 5 * time.Minute, 5 * day, 5 * day},
		{
			"plain", "qmgr_message_active_limit = 7\nqueue_run_delay=600\nmaximal_queue_lifetime = 3\nbounce_queue_lifetime=12h",
			"exit 1", 7, 10 * time.Minute, 3 * day, 12 * time.Hour,
		},
		{"zero", "maximal_queue_lifetime = 0", "exit 1", 20_000, 5 * time.Minute, 0, 5 * day},
		{
			"computed", "qmgr_message_active_limit = $x\nmaximal_queue_lifetime = $y\nbounce_queue_lifetime = $z",
			`case $4 in qmgr*) echo 9;; max*) echo 2w;; *) echo 90;; esac`, 9, 5 * time.Minute, 14 * day, 90 * day,
		},
		{
			"out of reach", "qmgr_message_active_limit = $x\nmaximal_queue_lifetime = $y", "exit 1",
			20_000, 5 * time.Minute, -1, 0,
		},
		{
			"nonsense", "qmgr_message_active_limit = many\nmaximal_queue_lifetime = long", "exit 1",
			20_000, 5 * time.Minute, 5 * day, 5 * day,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPostfix(t.TempDir(), []string{install(t, map[string]string{"postconf": tt.postconf})}, false)
			writeFile(t, filepath.Join(p.configDir, "main.cf"), tt.mainCF+"\n", 0o644)
			if got := (&live{postfix: &p}).Limits(t.Context()); got != (queue.Limits{Active: tt.active, RunDelay: tt.run}) {
				t.Errorf("%+v", got)
			}
			l, err := p.lifetimes(t.Context())
			known, want := tt.mail >= 0, spool.Lifetimes{Mail: tt.mail, Bounces: tt.bounces}
			if (err == nil) != known || known && l != want {
				t.Errorf("lifetimes %+v, %v", l, err)
			}
		})
	}
	if got := (&live{}).Limits(t.Context()); got != (queue.Limits{Active: 20_000, RunDelay: 5 * time.Minute}) {
		t.Errorf("of a directory alone: %+v", got)
	}
}

func TestSpace(t *testing.T) {
	p := newPostfix(t.TempDir(), nil, false)
	writeFile(t, filepath.Join(p.configDir, "main.cf"), "message_size_limit = 5\nqueue_minfree = 6\n", 0o644)
	dir := t.TempDir()
	space := (&live{postfix: &p, dir: dir}).Space(t.Context())
	if space == nil || min(space.FreeBytes, space.BlockBytes) <= 0 ||
		space.MessageSizeLimit != 5 || space.MinFreeBytes != 6 {
		t.Errorf("%+v", space)
	}
	space = (&live{dir: dir}).Space(t.Context())
	if space == nil || space.MessageSizeLimit != 0 || space.MinFreeBytes != 0 {
		t.Errorf("of a directory alone: %+v", space)
	}
	for name, l := range map[string]live{"unknown": {}, "missing": {dir: dir + "/nowhere"}} {
		if space := l.Space(t.Context()); space != nil {
			t.Errorf("%s: %+v", name, space)
		}
	}
}

// A unit with ProtectSystem=strict sees a read-only mount of a file system that others write to.
func TestReadOnlyFileSystem(t *testing.T) {
	const mounts = "29 1 254:0 / / ro,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro\n" +
		"31 29 254:1 / /var/spool rw,relatime - ext4 /dev/vdb ro,errors=remount-ro\nnonsense\n"
	for device, want := range map[string]bool{"254:0": false, "254:1": true, "254:2": false} {
		if got := hasReadOnlyOption(strings.NewReader(mounts), device); got != want {
			t.Errorf("%s: %v", device, got)
		}
	}
	if isReadOnly(t.TempDir()) || isReadOnly("/nonexistent") {
		t.Error("a directory that can be written to, or none")
	}
}
