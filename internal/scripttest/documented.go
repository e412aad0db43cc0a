package scripttest

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/cli"
	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/source"
)

// OptionsAreDocumented fails unless each option of the program, except the hidden ones, is in its usage text and
// its man page, and neither has one that the program does not know.
func OptionsAreDocumented(t *testing.T, options []cli.Option, usage, manPage string) {
	page, err := os.ReadFile(manPage)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{
		"usage":    usage,
		"man page": strings.NewReplacer(`\-`, "-", `\fB`, "", `\fR`, "", `\fI`, "").Replace(string(page)),
	}
	for name, text := range texts {
		documented := documentedOptions(text)
		for _, o := range options {
			if o.Hidden {
				continue
			}
			want := o.Name()
			if o.Short != "" {
				want = "-" + o.Short + ", " + want
			}
			if !documented[want] {
				t.Errorf("%s lacks %s", name, want)
			}
			delete(documented, want)
		}
		for option := range documented {
			t.Errorf("%s has %s, which the program does not", name, option)
		}
	}
}

// OptionsAreCompleted fails unless bash completes exactly the program's options, and the metrics and sources.
func OptionsAreCompleted(t *testing.T, options []cli.Option, program string) {
	var want []string
	for _, o := range options {
		if o.Hidden {
			continue
		}
		if o.Short != "" {
			want = append(want, "-"+o.Short)
		}
		want = append(want, o.Name())
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(completed(t, program)))); diff != "" {
		t.Errorf("completed options (-want +got):\n%s", diff)
	}
	growing := slices.ContainsFunc(options, func(o cli.Option) bool { return o.Long == "state" })
	var metrics []string
	for _, m := range queue.Metrics() {
		if m.Family != queue.FamilyGrowth || growing {
			metrics = append(metrics, m.Name)
		}
	}
	for _, o := range options {
		if o.Long != "metrics" && o.Long != "warning" && o.Long != "critical" && o.Long != "perfdata" {
			continue
		}
		for _, option := range []string{"-" + o.Short, o.Name()} {
			if option == "-" {
				continue
			}
			if got := completed(t, program, option); !slices.Equal(trimSuffixes(got, "="), metrics) {
				t.Errorf("%s completes %v", option, got)
			}
		}
	}
	for _, name := range source.Names() {
		if got := completed(t, program, "--source"); !slices.Contains(got, name) {
			t.Errorf("--source completes %v, not %s", got, name)
		}
	}
}

// ValuesAreCompleted fails unless bash completes exactly these values of the option.
func ValuesAreCompleted(t *testing.T, program, option string, values []string) {
	t.Helper()
	if got := completed(t, program, option); !slices.Equal(got, values) {
		t.Errorf("%s completes %v, want %v", option, got, values)
	}
}

// completed returns what bash offers after the words of a line.
func completed(t *testing.T, line ...string) []string {
	t.Helper()
	script := `source ../../contrib/completion/postfix-queue-monitor.bash
COMP_WORDS=("$@" ""); COMP_CWORD=$#; "_$1"; printf '%s\n' "${COMPREPLY[@]}"`
	out, err := exec.CommandContext(t.Context(), "bash", append([]string{"-c", script, "bash"}, line...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.Fields(string(out))
}

func trimSuffixes(list []string, suffix string) []string {
	for i := range list {
		list[i] = strings.TrimSuffix(list[i], suffix)
	}
	return list
}

// documentedOptions finds "-x, --long" and "--long" at the beginning of lines.
func documentedOptions(text string) map[string]bool {
	found := map[string]bool{}
	for line := range strings.Lines(text) {
		// Two options on one line of a man page: -h, --help, -V, --version.
		words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '[' })
		for i := 0; i < len(words); i++ {
			switch word := words[i]; {
			case strings.HasPrefix(word, "--"):
				found[word] = true
			case len(word) == 2 && word[0] == '-' && i+1 < len(words) && strings.HasPrefix(words[i+1], "--"):
				found[word+", "+words[i+1]] = true
				i++
			default:
				i = len(words)
			}
		}
	}
	return found
}
