package scripttest

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/cli"
	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/source"
)

const completions = "../../contrib/completion/postfix-queue-monitor."

// shells are those that contrib has a completion for. The command takes lines as its last arguments, and prints what
// the shell offers for each of them, and an empty line.
var shells = []struct {
	name    string
	command []string
}{
	// For bash, = is a word.
	{"bash", []string{"-c", "source " + completions + `bash
for line; do
	read -ra COMP_WORDS <<<"${line//=/ = }"; case $line in *[\ =]) COMP_WORDS+=("") ;; esac
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); "_$COMP_WORDS"
	[ ${#COMPREPLY[@]} = 0 ] || printf '%s\n' "${COMPREPLY[@]}"
	echo
done`, "bash"}},
	{"fish", []string{"-c", "source " + completions + `fish
for line in $argv
	complete -C $line | string replace -r '\t.*' ''
	echo
end`}},
	{"zsh", []string{"-f", "../../internal/scripttest/testdata/complete.zsh", completions + "zsh"}},
}

// IsCompleted fails unless each shell completes exactly the program's options; the names of metrics, histograms, queues
// and sources; the values that are given by option; and files.
func IsCompleted(t *testing.T, program string, options []cli.Option, values map[string][]string) {
	wants := map[string][]string{ // by the line after the program's name
		"-":                  namesOf(options),
		"--source ":          source.Names(),
		"--queue ":           queueNames(),
		"-q active,h":        {"active,hold"},
		"--queue=!active,in": {"!active,incoming"},
		"--input main_":      {"main_test.go"},
		"-d ../../int":       {"integration", "internal"},
		"--reason ":          nil,
		"--timeout=":         nil,
	}
	for option, list := range values {
		wants[option+" "] = list
		wants[option+"="] = list
	}
	for _, o := range options {
		switch o.Long {
		case "metrics", "perfdata":
			wants[o.Name()+" "] = metricNames(options)
			if o.Long == "metrics" {
				for _, d := range queue.Distributions() {
					wants[o.Name()+" "] = append(wants[o.Name()+" "], d.Name)
				}
			}
			wants[o.Name()+"=emails,!deferred_t"] = []string{"emails,!deferred_tls", "emails,!deferred_transport"}
		case "warning", "critical":
			wants[o.Name()+" "] = metricNames(options)
			wants["-"+o.Short+" si"] = []string{"size"} // and a =
		}
	}
	for _, shell := range shells {
		t.Run(shell.name, func(t *testing.T) {
			path, err := exec.LookPath(shell.name)
			if err != nil && os.Getenv("REQUIRE") == "all" {
				t.Fatal(err)
			} else if err != nil {
				t.Skip(err)
			}
			lines := slices.Collect(maps.Keys(wants))
			for i, got := range completed(t, path, shell.command, program, lines) {
				want := slices.Sorted(slices.Values(wants[lines[i]]))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s %s: completions (-want +got):\n%s", program, lines[i], diff)
				}
			}
		})
	}
}

// completed returns what a shell offers for each line, without what not all of them say: the option in front of a
// value, the = that ends the name of a metric, and the way to a file.
func completed(t *testing.T, shell string, args []string, program string, lines []string) [][]string {
	t.Helper()
	args = slices.Clone(args)
	for _, line := range lines {
		args = append(args, program+" "+line)
	}
	out, err := exec.CommandContext(t.Context(), shell, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	found := [][]string{nil}
	for word := range strings.Lines(string(out)) {
		word = strings.TrimSuffix(word, "\n")
		if word == "" {
			found = append(found, nil)
			continue
		}
		if option, value, ok := strings.Cut(word, "="); ok && strings.HasPrefix(option, "--") && value != "" {
			word = value
		}
		if strings.HasPrefix(word, "../") {
			word = filepath.Base(word)
		}
		last := &found[len(found)-1]
		*last = append(*last, strings.TrimSuffix(word, "="))
	}
	found = found[:len(found)-1]
	if len(found) != len(lines) {
		t.Fatalf("%d answers to %d lines: %s", len(found), len(lines), out)
	}
	for i := range found {
		slices.Sort(found[i])
		found[i] = slices.Compact(found[i])
	}
	return found
}

func namesOf(options []cli.Option) []string {
	var names []string
	for _, o := range options {
		if o.Hidden {
			continue
		}
		names = append(names, o.Name())
		if o.Short != "" {
			names = append(names, "-"+o.Short)
		}
	}
	return names
}

// metricNames returns the metrics that the program knows: only one that remembers the last numbers knows growth.
func metricNames(options []cli.Option) []string {
	growing := slices.ContainsFunc(options, func(o cli.Option) bool { return o.Long == "state" })
	var names []string
	for _, m := range queue.Metrics() {
		if m.Family != queue.FamilyGrowth || growing {
			names = append(names, m.Name)
		}
	}
	return names
}

func queueNames() []string {
	var names []string
	for _, name := range queue.Names() {
		names = append(names, string(name))
	}
	return names
}
