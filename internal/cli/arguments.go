package cli

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/alexflint/go-arg"

	"example.org/postfix-queue-monitor/internal/suggest"
)

// ErrHelp and ErrVersion report -h and -V.
var (
	ErrHelp    = errors.New("help was asked for")
	ErrVersion = errors.New("the version was asked for")
)

// Parse reads the arguments into options: a pointer to a struct with arg tags, in which common is embedded. The
// error is ErrHelp or ErrVersion, or says what is wrong with the arguments.
//
// go-arg declares the options and assigns their values. It does not read the command line as typed: it would
// guess at a forgotten value, take the last of two values, and accept arguments that belong to no option.
func Parse(args []string, options any, common *Common) error {
	n, err := normalize(args, Options(options))
	if err != nil {
		return err
	}
	common.given = n.given
	parser, err := arg.NewParser(arg.Config{Program: "program", IgnoreEnv: true, IgnoreDefault: true}, options)
	if err != nil {
		return err
	}
	if err := parser.Parse(n.normal); err != nil {
		return n.explain(err)
	}
	if common.Version {
		return ErrVersion
	}
	return common.check()
}

// Option is a command line option, as the arg tag of its field declares it.
type Option struct {
	Short      string // one letter, or empty
	Long       string
	TakesValue bool
	Repeatable bool
	Hidden     bool // known only to be refused, with the reason
}

// Name returns the option as people write it: the long form.
func (o Option) Name() string { return "--" + o.Long }

// Options returns the options of the struct that options points to, those of embedded structs included, in the
// order of its fields.
func Options(options any) []Option {
	var list []Option
	for _, field := range reflect.VisibleFields(reflect.TypeOf(options).Elem()) {
		if field.Anonymous || !field.IsExported() {
			continue
		}
		o := Option{
			TakesValue: field.Type.Kind() != reflect.Bool && field.Type != reflect.TypeFor[Count](),
			Repeatable: field.Type.Kind() == reflect.Slice || field.Type == reflect.TypeFor[Count](),
		}
		for part := range strings.SplitSeq(field.Tag.Get("arg"), ",") {
			switch {
			case strings.HasPrefix(part, "--"):
				o.Long = part[2:]
			case strings.HasPrefix(part, "-"):
				o.Short = part[1:]
			case part == "hidden":
				o.Hidden = true
			}
		}
		list = append(list, o)
	}
	return list
}

// normalize rewrites arguments as people type them (-w10, -w -10:10, -vv, --warning 10) to the one form
// --option=value, and refuses what would otherwise be lost or guessed: a forgotten or empty value, a repeated
// option with a single value, an argument that belongs to no option. The error is ErrHelp if one of the arguments
// is -h or --help.
func normalize(args []string, options []Option) (*normalizer, error) {
	n := &normalizer{options: options, given: map[string]bool{}, typed: map[string]string{}}
	err := checkTypography(args)
	for len(args) > 0 && err == nil {
		args, err = n.next(args)
	}
	if n.help || (err != nil && slices.ContainsFunc(args, func(a string) bool { return a == "-h" || a == "--help" })) {
		return n, ErrHelp
	}
	return n, err
}

// checkTypography returns an error if an argument looks as if it were copied from a page that shows dashes and
// quotation marks in a form that no shell knows.
func checkTypography(args []string) error {
	for i, arg := range args {
		if first, _ := utf8.DecodeRuneInString(arg); strings.ContainsRune("‐‑–—−“”„‘’‚«»", first) {
			return fmt.Errorf("argument %d begins with a typographic dash or quotation mark; type it anew", i+1)
		}
	}
	return nil
}

type normalizer struct {
	options []Option
	normal  []string
	given   map[string]bool   // by long name
	typed   map[string]string // the option as typed, by its normal form
	help    bool
}

func (n *normalizer) explain(err error) error {
	text := strings.TrimPrefix(err.Error(), "error processing ")
	for _, normal := range n.normal {
		if reason, ok := strings.CutPrefix(text, normal+": "); ok {
			return fmt.Errorf("%s: %s", n.typed[normal], reason)
		}
	}
	return errors.New(text)
}

// next takes the first argument, and its value, and returns the rest.
func (n *normalizer) next(args []string) (rest []string, err error) {
	arg, rest := args[0], args[1:]
	switch {
	case arg == "--" && len(rest) == 0:
		return rest, nil
	case arg == "--":
		return rest, unexpected(rest[0])
	case strings.HasPrefix(arg, "--"):
		return n.long(arg, rest)
	case strings.HasPrefix(arg, "-") && arg != "-":
		return n.shorts(arg, rest)
	case arg == "":
		return rest, errors.New("unexpected empty argument; is a macro or variable empty?")
	default:
		return rest, unexpected(arg)
	}
}

func unexpected(arg string) error {
	return fmt.Errorf(`unexpected argument "%s": all arguments are options; --help shows them`, arg)
}

func (n *normalizer) long(arg string, rest []string) ([]string, error) {
	name, value, attached := strings.Cut(arg[2:], "=")
	o, ok := n.find(func(o Option) bool { return o.Long == name })
	typed := "--" + name
	switch {
	case !ok:
		return rest, n.unknown(typed, name)
	case !o.TakesValue && attached:
		return rest, fmt.Errorf("--%s takes no value", name)
	case attached:
		return rest, n.add(o, typed, value)
	default:
		return n.separate(o, typed, rest)
	}
}

// shorts takes a cluster of one-letter options. The first that takes a value takes the rest of the cluster.
func (n *normalizer) shorts(arg string, rest []string) ([]string, error) {
	if name, _, _ := strings.Cut(arg[1:], "="); len(name) > 1 {
		if o, ok := n.find(func(o Option) bool { return o.Long == name }); ok {
			return rest, fmt.Errorf("%s: a long option has two dashes: %s", arg, o.Name())
		}
	}
	for i, letter := range arg[1:] {
		o, ok := n.find(func(o Option) bool { return o.Short == string(letter) })
		if !ok {
			return rest, n.unknown("-"+string(letter), "")
		}
		typed := "-" + o.Short
		if !o.TakesValue {
			if err := n.add(o, typed, ""); err != nil {
				return rest, err
			}
			continue
		}
		if value := arg[1+i+1:]; value != "" {
			return rest, n.add(o, typed, strings.TrimPrefix(value, "="))
		}
		return n.separate(o, typed, rest)
	}
	return rest, nil
}

// separate takes an option whose value, if it takes one, is the next argument.
func (n *normalizer) separate(o Option, typed string, rest []string) ([]string, error) {
	switch {
	case !o.TakesValue:
		return rest, n.add(o, typed, "")
	case len(rest) == 0:
		return rest, fmt.Errorf("%s needs a value", typed)
	case looksLikeOption(rest[0]):
		return rest, fmt.Errorf("%s needs a value, and %s is an option; write a value that begins with a dash as %s=VALUE",
			typed, rest[0], o.Name())
	}
	return rest[1:], n.add(o, typed, rest[0])
}

// looksLikeOption tells an option from a value: from -, which is standard input, and from a negative number such
// as -10:10.
func looksLikeOption(arg string) bool {
	return len(arg) > 1 && arg[0] == '-' && !strings.ContainsRune("0123456789.", rune(arg[1]))
}

func (n *normalizer) add(o Option, typed, value string) error {
	switch {
	case o.TakesValue && value == "":
		return fmt.Errorf("the value of %s is empty; is a macro or variable empty?", typed)
	case n.given[o.Long] && !o.Repeatable:
		return fmt.Errorf("%s is given twice", o.Name())
	}
	n.given[o.Long] = true
	n.help = n.help || o.Long == "help"
	if !o.TakesValue {
		value = "true"
	}
	normal := o.Name() + "=" + value
	n.normal = append(n.normal, normal)
	n.typed[normal] = typed
	return nil
}

func (n *normalizer) find(match func(Option) bool) (Option, bool) {
	i := slices.IndexFunc(n.options, match)
	if i < 0 {
		return Option{}, false
	}
	return n.options[i], true
}

// unknown returns the error for an unknown option, with the one that was probably meant.
func (n *normalizer) unknown(typed, name string) error {
	var names []string
	for _, o := range n.options {
		if !o.Hidden {
			names = append(names, o.Long)
		}
	}
	if meant, ok := suggest.Nearest(name, names); ok {
		return fmt.Errorf("unknown option %s; did you mean --%s?", typed, meant)
	}
	return fmt.Errorf("unknown option %s; --help shows all", typed)
}
