package cli

import (
	"errors"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/source"
)

func parse(args string) (testOptions, error) {
	opts := testOptions{Common: Defaults()}
	err := Parse(strings.Fields(args), &opts, &opts.Common)
	return opts, err
}

func TestParse(t *testing.T) {
	opts, err := parse("-w 10 -w size=5M -c20 -d /etc/postfix-a/ -d /etc/postfix-b -t 2.5 -vvv -q deferred,hold")
	if err != nil {
		t.Fatal(err)
	}
	want := Common{
		ConfigDirs: Directories{"/etc/postfix-a", "/etc/postfix-b"}, Source: "auto", MaxAge: Duration(5 * time.Minute),
		Queues: Queues{"deferred,hold"}, Stuck: Duration(10 * time.Minute),
		Timeout: Duration(2500 * time.Millisecond), Verbose: 3,
	}
	if diff := cmp.Diff(want, opts.Common, cmpopts.IgnoreUnexported(Common{}, queue.Pattern{})); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	if len(opts.Warning) != 2 || len(opts.Critical) != 1 || opts.Critical[0].Range.End != 20 {
		t.Errorf("warning %v, critical %v", opts.Warning, opts.Critical)
	}
}

func TestParseDefaults(t *testing.T) {
	opts, err := parse("")
	if err != nil || opts.Timeout != Duration(8*time.Second) || opts.MaxAge != Duration(5*time.Minute) ||
		opts.Source != "auto" {
		t.Errorf("%+v, %v", opts.Common, err)
	}
}

func TestParseAsksForHelpAndVersion(t *testing.T) {
	for args, want := range map[string]error{
		"-h":        ErrHelp,
		"--help":    ErrHelp,
		"-V":        ErrVersion,
		"--version": ErrVersion,
		"-vV":       ErrVersion,
	} {
		if _, err := parse(args); !errors.Is(err, want) {
			t.Errorf("%s: error %v", args, err)
		}
	}
}

func TestParseRefusals(t *testing.T) {
	tests := []struct{ args, want string }{
		{"-w 20:10", `-w: invalid range "20:10": the start is greater than the end; did you mean 10:20?`},
		{"-w 10 -w emails=20", "-w: emails has two ranges, 10 and 20; give it one"},
		{"-t 0", "--timeout must be more than 0"},
		{"-t -5", `-t: invalid duration "-5": want at least 0 and at most 36500d`},
		{"-t x", `-t: invalid duration "x": want seconds, or`},
		{"--source spool-x", `--source: unknown source "spool-x"; did you mean spool?`},
		{"-d etc", `-d: invalid directory "etc": want an absolute path`},
		{"-d /etc -d /etc/", "given twice"},
		{"-q corrupt", `-q: unknown queue "corrupt"; known: active, deferred`},
		{"-q hold,", `-q: the name of a queue is missing`},
		{"--max-age 5m", "--max-age needs --input"},
		{"-q defered", `did you mean deferred?`},
		{"-q hold -q !hold", "leaves no queue"},
		{"-i x -d /etc", "--input excludes --config-dir"},
		{"-i x --source postqueue", "--input excludes --config-dir"},
		{"-i x -a", "--input excludes --config-dir"},
		{"-a -d /etc", "exclude each other"},
		{"--queue-directory /x -a", "--queue-directory excludes"},
		{"--queue-directory /x --source showq", "read by the source spool"},
		{"--queue-directory x", `invalid --queue-directory "x": want an absolute path`},
		{"--allow-empty", "--allow-empty needs --input"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			if _, err := parse(tt.args); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestQueuesFilter(t *testing.T) {
	tests := []struct {
		args string
		want []queue.Name
	}{
		{"", nil},
		{"-q hold", []queue.Name{"hold"}},
		{"-q hold,active -q deferred", []queue.Name{"active", "deferred", "hold"}},
		{"-q !hold", []queue.Name{"active", "deferred", "incoming", "maildrop"}},
		{"-q !hold,maildrop -q !incoming", []queue.Name{"active", "deferred"}},
		{"-q hold,active -q !active", []queue.Name{"hold"}},
	}
	for _, tt := range tests {
		opts, err := parse(tt.args)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, opts.Filter().Queues); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.args, diff)
		}
	}
}

func TestRequest(t *testing.T) {
	ignoreRegexps := cmpopts.IgnoreUnexported(queue.Pattern{}, source.Request{})
	tests := []struct {
		name    string
		args    string
		metrics []string
		want    source.Request
	}{
		{
			name: "defaults",
			want: source.Request{Source: "auto", MaxAge: 5 * time.Minute},
		},
		{
			name: "instances",
			args: "-d /etc/postfix -d /etc/postfix-out --source spool",
			want: source.Request{
				ConfigDirs: []string{"/etc/postfix", "/etc/postfix-out"},
				Source:     "spool",
				MaxAge:     5 * time.Minute,
			},
		},
		{
			name: "all instances",
			args: "-a",
			want: source.Request{AllInstances: true, Source: "auto", MaxAge: 5 * time.Minute},
		},
		{
			name: "a directory",
			args: "--queue-directory /mnt/spool",
			want: source.Request{QueueDir: "/mnt/spool", Source: "auto", MaxAge: 5 * time.Minute},
		},
		{
			name: "mail that does not move",
			args: "--stuck 1h",
			want: source.Request{Source: "auto", MaxAge: 5 * time.Minute, Query: queue.Query{Stuck: time.Hour}},
		},
		{
			name: "an input",
			args: "-i - --max-age 1h --allow-empty",
			want: source.Request{Source: "auto", Input: "-", Stdin: os.Stdin, MaxAge: time.Hour, AllowEmpty: true},
		},
		{
			name: "a filter",
			args: "-q hold --older-than 5m",
			want: source.Request{Source: "auto", MaxAge: 5 * time.Minute, Query: queue.Query{
				Filter: queue.Filter{Queues: []queue.Name{queue.Hold}, OlderThan: 5 * time.Minute},
			}},
		},
		{
			name: "reasons that the user asks for",
			args: "--by-reason",
			want: source.Request{Source: "auto", MaxAge: 5 * time.Minute, Query: queue.Query{Reasons: true}},
		},
		{
			name:    "what metrics need",
			metrics: []string{"emails", "deferred_other", "top_login"},
			want: source.Request{
				Source: "auto", MaxAge: 5 * time.Minute, Query: queue.Query{Reasons: true, Tops: true},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts, err := parse(tt.args)
			if err != nil {
				t.Fatal(err)
			}
			var metrics []queue.Metric
			for _, name := range tt.metrics {
				m, _ := queue.Lookup(name)
				metrics = append(metrics, m)
			}
			got := opts.Request(os.Stdin, metrics)
			if got.Stdin != os.Stdin {
				t.Error("standard input is missing")
			}
			got.Stdin, tt.want.Stdin = nil, nil
			if tt.want.Stuck == 0 {
				tt.want.Stuck = 10 * time.Minute
			}
			if diff := cmp.Diff(tt.want, got, ignoreRegexps, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFilterHasEveryPattern(t *testing.T) {
	opts, err := parse("--sender a --sender !b --recipient c --reason d")
	if err != nil {
		t.Fatal(err)
	}
	f := opts.Filter()
	got := [][]string{f.Senders.Texts(), f.Recipients.Texts(), f.Reasons.Texts()}
	if diff := cmp.Diff([][]string{{"a", "!b"}, {"c"}, {"d"}}, got); diff != "" {
		t.Errorf("senders, recipients, reasons (-want +got):\n%s", diff)
	}
}

func TestSeveralInstances(t *testing.T) {
	for args, want := range map[string]bool{"": false, "-d /a": false, "-d /a -d /b": true, "-a": true} {
		opts, err := parse(args)
		if err != nil {
			t.Fatal(err)
		}
		if got := opts.SeveralInstances(); got != want {
			t.Errorf("%s: got %v, want %v", args, got, want)
		}
	}
}

// The root directory keeps its slash.
func TestDirectoriesWithoutTrailingSlashes(t *testing.T) {
	opts, err := parse("-d / -d /a// -d /b/c")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Directories{"/", "/a", "/b/c"}, opts.ConfigDirs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestVersion(t *testing.T) {
	if got := Version("1.2.3"); got != "1.2.3" {
		t.Errorf("stamped: %s", got)
	}
	// It depends on how the test was built, but it is never empty, and has no v.
	if got := Version(""); got == "" || got[0] == 'v' {
		t.Errorf("not stamped: %q", got)
	}
}

func TestLimitMemory(t *testing.T) {
	percent := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	LimitMemory()
	if got := debug.SetGCPercent(100); got >= 100 {
		t.Errorf("a collection after %d %%, want fewer", got)
	}
}
