package scripttest

import (
	"os"
	"strings"
	"testing"

	"example.org/postfix-queue-monitor/internal/cli"
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
