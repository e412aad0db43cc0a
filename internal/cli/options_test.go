package cli

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"example.org/postfix-queue-monitor/internal/queue"
)

func parse(args string) (testOptions, error) {
	opts := testOptions{Common: Defaults()}
	err := Parse(strings.Fields(args), &opts, &opts.Common)
	return opts, err
}

func TestParse(t *testing.T) {
	opts, err := parse("-w 10 -w size=5M -c20 -d /etc/postfix-a/ -d /etc/postfix-b -t 2.5 -vvv -q deferred,hold " +
		"--max-age 10m")
	if err != nil {
		t.Fatal(err)
	}
	want := Common{
		ConfigDirs: Directories{"/etc/postfix-a", "/etc/postfix-b"}, Source: "auto", MaxAge: Duration(10 * time.Minute),
		Queues: Queues{"deferred,hold"}, Timeout: Duration(2500 * time.Millisecond), Verbose: 3,
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
		{"-q hold,", `-q: unknown queue ""`},
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
