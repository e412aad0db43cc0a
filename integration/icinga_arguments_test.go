//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestIcingaArguments(t *testing.T) {
	needIcinga(t)
	startPostfix(t)
	old := writeConfig(t, "empty", "")
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(ownedDir(t, "nagios"), "state")
	tests := map[string]struct {
		vars string
		want []string // arguments, sorted
		says string   // in the first line of the plugin's answer
	}{
		"none": {
			``,
			nil,
			" OK - queue is empty | ",
		},
		"ranges": {
			`vars.postfix_queue_warning = [ "-10:10", "size=@5:10", "age=~:4h" ]
			vars.postfix_queue_critical = "1000:"`,
			[]string{"--critical 1000:", "--warning -10:10", "--warning age=~:4h", "--warning size=@5:10"},
			" emails=0;-10:10;1000:;0 ",
		},
		"numbers": {
			`vars.postfix_queue_warning = 0
			vars.postfix_queue_critical = 100000000`,
			[]string{"--critical 100000000", "--warning 0"},
			" emails=0;0;100000000;0 ",
		},
		"instance": {
			`vars.postfix_queue_config_dir = [ "/etc/postfix" ]
			vars.postfix_queue_source = "postqueue"
			vars.postfix_queue_timeout = 20s`,
			[]string{"--config-dir /etc/postfix", "--source postqueue", "--timeout 20"},
			" OK - queue is empty | ",
		},
		"mail that does not move": {
			`vars.postfix_queue_stuck = "1h"
			vars.postfix_queue_perfdata = [ "emails", "*_age" ]`,
			[]string{"--perfdata *_age", "--perfdata emails", "--stuck 1h"},
			" emails=0;;;0 hold_age=",
		},
		"growth": {
			`vars.postfix_queue_state = "` + state + `"
			vars.postfix_queue_warning = "growth=500"
			vars.postfix_queue_verbose = 1`,
			[]string{"--state " + state, "--verbose", "--warning growth=500"},
			" OK - queue is empty | ",
		},
		"less text": {
			`vars.postfix_queue_no_findings = true
			vars.postfix_queue_max_output = 2048`,
			[]string{"--max-output 2048", "--no-findings"},
			" OK - queue is empty | ",
		},
		"all instances": {
			`vars.postfix_queue_all_instances = true`,
			[]string{"--all-instances"},
			" OK - ",
		},
		// The user may not read it, and cannot become one that may.
		"queue directory": {
			`vars.postfix_queue_queue_directory = "/var/spool/postfix"`,
			[]string{"--queue-directory /var/spool/postfix"},
			" UNKNOWN - ",
		},
		"queues": {
			`vars.postfix_queue_queue = [ "active", "hold" ]
			vars.postfix_queue_verbose = "2"`,
			[]string{"--queue active", "--queue hold", "--verbose", "--verbose"},
			"active, hold) | ",
		},
		"all queues but one": {
			`vars.postfix_queue_queue = "!hold"
			vars.postfix_queue_verbose = true`,
			[]string{"--queue !hold", "--verbose"},
			"but hold) | ",
		},
		"filters": {
			`vars.postfix_queue_sender = "!^news@"
			vars.postfix_queue_recipient = "@example[.]com$$"
			vars.postfix_queue_reason = [ "late", "refused" ]
			vars.postfix_queue_older_than = 1h
			vars.postfix_queue_by_reason = true`,
			[]string{
				"--by-reason", "--older-than 3600", "--reason late", "--reason refused",
				"--recipient @example[.]com$", "--sender !^news@",
			},
			" OK - no emails (sender not ^news@, recipient @example[.]com$, " +
				"reason late or refused, at least 1h old) | ",
		},
		"mail of a client": {
			`vars.postfix_queue_login = "=anna"
			vars.postfix_queue_client = [ "^192" ]`,
			[]string{"--client ^192", "--login =anna"},
			" UNKNOWN - cannot look at mail of a login or a client: only the source spool sees them",
		},
		"file": {
			`vars.postfix_queue_input = "` + old + `"
			vars.postfix_queue_max_age = 2h
			vars.postfix_queue_allow_empty = true
			vars.postfix_queue_verbose = 3`,
			[]string{"--allow-empty", "--input " + old, "--max-age 7200", "--verbose", "--verbose", "--verbose"},
			" OK - queue is empty | ",
		},
	}

	// The program itself answers. The answer is followed by a line for each argument.
	answering := fmt.Sprintf("#!/bin/sh\n%s \"$@\"; code=$?; printf '"+argumentMark+"%%s\\n' \"$@\"; exit $code\n",
		program(t, filepath.Base(pluginPath)))
	plugins := publicTempDir(t)
	if err := os.WriteFile(filepath.Join(plugins, filepath.Base(pluginPath)), []byte(answering), 0o755); err != nil {
		t.Fatal(err)
	}
	bind(t, plugins, pluginDir)

	config := `object Host "mail.example.org" { import "generic-host" }` + "\n"
	for name, test := range tests {
		config += fmt.Sprintf(`
object Service %q {
	import "generic-service"
	host_name = "mail.example.org"
	check_command = "postfix_queue"
	%s
}
`, name, test.vars)
	}
	startIcinga(t, config)
	used := make(map[string]bool)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var reports []report
			waitFor(t, "a report", func() (bool, any) {
				reports = icingaReports(t, "mail.example.org!"+name)()
				return len(reports) > 0, nil
			})
			got := reports[0]
			if line1 := got.line1() + " | " + got.perfdata; !strings.Contains(line1, test.says) {
				t.Errorf("want %q, got %s", test.says, got)
			}
			if diff := cmp.Diff(test.want, argumentsOf(got)); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
		for _, argument := range test.want {
			option, _, _ := strings.Cut(argument, " ")
			used[option] = true
		}
	}
	for option := range checkOptions(t) {
		if !used[option] {
			t.Errorf("no case has an argument %s", option)
		}
	}
}

const argumentMark = "argument "

// argumentsOf returns the arguments that the text has marked, each option with its value, sorted: those of one
// CheckCommand come in no particular order.
func argumentsOf(r report) []string {
	var arguments []string
	for line := range strings.SplitSeq(r.text, "\n") {
		argument, ok := strings.CutPrefix(line, argumentMark)
		switch {
		case !ok, argument == "": // printf prints one mark if there are no arguments
		case strings.HasPrefix(argument, "--"):
			arguments = append(arguments, argument)
		default:
			arguments[len(arguments)-1] += " " + argument
		}
	}
	slices.Sort(arguments)
	return arguments
}

// checkOptions returns the long options of the check that a CheckCommand must know, and whether they are
// repeatable, as the usage text says.
func checkOptions(t testing.TB) map[string]bool {
	t.Helper()
	usage := runAs(t, "nobody", program(t, filepath.Base(pluginPath)), "--help").stdout
	heads := regexp.MustCompile(`(?m)^(?:  -\w, |      )--([a-z-]+)`).FindAllStringSubmatchIndex(usage, -1)
	options := make(map[string]bool)
	for i, head := range heads {
		end := len(usage)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		description, _, _ := strings.Cut(usage[head[0]:end], "\n\n")
		options["--"+usage[head[2]:head[3]]] = strings.Contains(description, "repeatable")
	}
	// A service needs none of these: two are for people, and check_mailq's option has only one value.
	for _, other := range []string{"--help", "--version", "--mailserver"} {
		if _, known := options[other]; !known {
			t.Errorf("the usage text has no %s:\n%s", other, usage)
		}
		delete(options, other)
	}
	return options
}

// TestIcingaCommand compares the CheckCommand with the usage text. It does not need Icinga.
func TestIcingaCommand(t *testing.T) {
	content, err := os.ReadFile("../contrib/icinga2/postfix_queue.conf")
	if err != nil {
		t.Fatal(err)
	}
	definitions := make(map[string]string)
	argument := regexp.MustCompile(`(?s)"(--[a-z-]+)" = \{(.*?)\n\t\t\}`)
	for _, m := range argument.FindAllStringSubmatch(string(content), -1) {
		definitions[m[1]] = m[2]
	}
	options := checkOptions(t)
	for option := range definitions {
		if _, known := options[option]; !known {
			t.Errorf("the check has no option %s", option)
		}
	}
	for option, repeatable := range options {
		definition, defined := definitions[option]
		if !defined {
			t.Errorf("the CheckCommand has no argument %s", option)
			continue
		}
		variable := "$postfix_queue_" + strings.ReplaceAll(option[2:], "-", "_") + "$"
		if !strings.Contains(definition, variable) {
			t.Errorf("%s is not set by %s", option, variable)
		}
		if !strings.Contains(definition, "description = ") {
			t.Errorf("%s has no description", option)
		}
		if strings.Contains(definition, "repeat_key = true") != repeatable {
			t.Errorf("%s: repeat_key must be %v", option, repeatable)
		}
	}
}
