package cli

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/thresholds"
)

// testOptions has an option of every kind.
type testOptions struct {
	Warning  thresholds.Rules `arg:"-w,--warning"`
	Critical thresholds.Rules `arg:"-c,--critical"`
	Common
}

func TestOptions(t *testing.T) {
	var got []string
	for _, o := range Options(new(testOptions)) {
		line := o.Short + " " + o.Long
		if o.TakesValue {
			line += " value"
		}
		if o.Repeatable {
			line += " repeatable"
		}
		got = append(got, line)
	}
	want := []string{
		"w warning value repeatable", "c critical value repeatable",
		"d config-dir value repeatable", "a all-instances", " source value", " queue-directory value", "i input value",
		" max-age value", " allow-empty",
		"q queue value repeatable", " sender value repeatable",
		" login value repeatable", " client value repeatable", " recipient value repeatable",
		" reason value repeatable", " older-than value", " by-reason", " stuck value",
		"t timeout value", "v verbose repeatable", "h help", "V version",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
}

func TestNormalize(t *testing.T) {
	tests := []struct{ args, want string }{
		{"", ""},
		{"-w 10", "--warning=10"},
		{"-w10", "--warning=10"},
		{"-w=10", "--warning=10"},
		{"-w -10:10", "--warning=-10:10"},
		{"-w-10:10", "--warning=-10:10"},
		{"-w -.5:", "--warning=-.5:"},
		{"--warning 10", "--warning=10"},
		{"--warning=10", "--warning=10"},
		{"--warning -10:10", "--warning=-10:10"},
		{"--warning=size=10", "--warning=size=10"},
		{"-wsize=10", "--warning=size=10"},
		{"-w size=10 -w age=4h", "--warning=size=10 --warning=age=4h"},
		{"-w @~:10", "--warning=@~:10"},
		{"-vv", "--verbose=true --verbose=true"},
		{"-v -v --verbose", "--verbose=true --verbose=true --verbose=true"},
		{"-vvw10", "--verbose=true --verbose=true --warning=10"},
		{"-vvw 10", "--verbose=true --verbose=true --warning=10"},
		{"-i -", "--input=-"},
		{"-i-", "--input=-"},
		{"--allow-empty -i x", "--allow-empty=true --input=x"},
		{"-q !hold", "--queue=!hold"},
		{"-w 10 --", "--warning=10"},
		{"-V", "--version=true"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			got, err := normalize(strings.Fields(tt.args), Options(new(testOptions)))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Join(got.normal, " ") != tt.want {
				t.Errorf("got %q, want %q", got.normal, tt.want)
			}
		})
	}
}

func TestNormalizeRefusals(t *testing.T) {
	tests := []struct {
		args []string
		want string // part of the error
	}{
		{[]string{"-w", "-c", "20"}, "-w needs a value, and -c is an option"},
		{[]string{"-w", "--critical=20"}, "-w needs a value"},
		{[]string{"--warning", "-c", "20"}, "--warning needs a value"},
		{[]string{"-w"}, "-w needs a value"},
		{[]string{"--warning"}, "--warning needs a value"},
		{[]string{"-w="}, "the value of -w is empty"},
		{[]string{"--warning="}, "the value of --warning is empty"},
		{[]string{"-w", ""}, "the value of -w is empty"},
		{[]string{"--warning=", "5"}, "the value of --warning is empty"},
		{[]string{"-warning", "10"}, "a long option has two dashes: --warning"},
		{[]string{"-warning=10"}, "a long option has two dashes: --warning"},
		{[]string{"--warn", "10"}, "did you mean --warning?"},
		{[]string{"--nonsense"}, "unknown option --nonsense"},
		{[]string{"-x"}, "unknown option -x"},
		{[]string{"-vx"}, "unknown option -x"},
		{[]string{"-ü"}, "unknown option -ü"},
		{[]string{"10"}, `unexpected argument "10"`},
		{[]string{"--", "-w", "10"}, `unexpected argument "-w"`},
		{[]string{"-w", "10", "20"}, `unexpected argument "20"`},
		{[]string{""}, "unexpected empty argument"},
		{[]string{"-"}, `unexpected argument "-"`},
		{[]string{"--allow-empty=yes"}, "--allow-empty takes no value"},
		{[]string{"-t", "5", "-t", "6"}, "--timeout is given twice"},
		{[]string{"-t5", "--timeout=6"}, "--timeout is given twice"},
		{[]string{"--="}, "unknown option"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			got, err := normalize(tt.args, Options(new(testOptions)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q and error %v, want an error with %q", got.normal, err, tt.want)
			}
		})
	}
}

func TestHelpWinsOverMistakes(t *testing.T) {
	for _, args := range []string{"-h", "--help", "-w 10 -h", "-vh", "--nonsense -h", "-w -h"} {
		if _, err := normalize(strings.Fields(args), Options(new(testOptions))); !errors.Is(err, ErrHelp) {
			t.Errorf("%s: error %v", args, err)
		}
	}
}

// A threshold on the command line is in force, or there is an error. No other
// argument changes that.
func FuzzNormalize(f *testing.F) {
	f.Add("-w 10 -c 20")
	f.Add("-vvw10 --critical=-10:10")
	f.Add("-w\x00-c\x0020")
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' })
		if strings.Contains(line, "\x00") {
			args = strings.Split(line, "\x00")
		}
		normal, err := normalize(args, Options(new(testOptions)))
		if err != nil {
			return
		}
		asked := 0
		for _, arg := range args {
			if arg == "-w" || arg == "--warning" || strings.HasPrefix(arg, "--warning=") {
				asked++
			}
		}
		given := 0
		for _, arg := range normal.normal {
			if name, value, _ := strings.Cut(arg, "="); !strings.HasPrefix(name, "--") || value == "" {
				t.Errorf("%q: %q is not --option=value", args, arg)
			}
			if strings.HasPrefix(arg, "--warning=") {
				given++
			}
		}
		if given < asked {
			t.Errorf("%q: %d of %d warning thresholds in %q", args, given, asked, normal.normal)
		}
		again, err := normalize(normal.normal, noFlagValues(Options(new(testOptions))))
		if err != nil || !slices.Equal(again.normal, normal.normal) {
			t.Errorf("%q: not stable: %q, then %q, %v", args, normal.normal, again.normal, err)
		}
	})
}

// noFlagValues makes every option take a value, as the normal form has one for
// each.
func noFlagValues(options []Option) []Option {
	for i := range options {
		options[i].TakesValue = true
	}
	return options
}
