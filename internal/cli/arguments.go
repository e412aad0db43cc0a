package cli

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Option is one command line option, as the arg tag of its field says.
type Option struct {
	Short      string // one letter, or empty
	Long       string
	TakesValue bool
	Repeatable bool
	Hidden     bool // known only to be refused, with the reason
}

// Name returns the option as people write it: the long form.
func (o Option) Name() string { return "--" + o.Long }

// Options returns the options of the struct that options points to, those of
// embedded structs included, in the order of its fields.
func Options(options any) []Option {
	return fieldOptions(reflect.TypeOf(options).Elem())
}

func fieldOptions(t reflect.Type) []Option {
	var list []Option
	for field := range t.Fields() {
		if field.Anonymous {
			list = append(list, fieldOptions(field.Type)...)
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

var errHelpAsked = errors.New("help was asked for")

// normalize rewrites arguments as people type them (-w10, -w -10:10, -vv,
// --warning 10) to the one form --option=value, and refuses what would
// otherwise be lost or guessed: a forgotten or empty value, a repeated option
// that can have one value only, an argument that belongs to no option. The
// error is errHelpAsked, wrapped, if one of the arguments is -h or --help.
func normalize(args []string, options []Option) ([]string, error) {
	n := normalizer{options: options, given: map[string]bool{}}
	var err error
	for len(args) > 0 && err == nil {
		args, err = n.next(args)
	}
	if n.help || (err != nil && slices.ContainsFunc(args, func(a string) bool { return a == "-h" || a == "--help" })) {
		return nil, errHelpAsked
	}
	return n.normal, err
}

type normalizer struct {
	options []Option
	given   map[string]bool
	normal  []string
	help    bool
}

// next handles the first argument, and its value, and returns the rest.
func (n *normalizer) next(args []string) (rest []string, err error) {
	arg, rest := args[0], args[1:]
	switch {
	case arg == "--" && len(rest) == 0:
		return rest, nil
	case arg == "--":
		return rest, fmt.Errorf("unexpected argument %s: everything is said with options", rest[0])
	case strings.HasPrefix(arg, "--"):
		return n.long(arg, rest)
	case strings.HasPrefix(arg, "-") && arg != "-":
		return n.shorts(arg, rest)
	case arg == "":
		return rest, errors.New("unexpected empty argument; is a macro or variable empty?")
	default:
		return rest, fmt.Errorf("unexpected argument %s: everything is said with options", arg)
	}
}

func (n *normalizer) long(arg string, rest []string) ([]string, error) {
	name, value, attached := strings.Cut(arg[2:], "=")
	o, ok := n.find(func(o Option) bool { return o.Long == name })
	switch {
	case !ok:
		return rest, n.unknown("--"+name, name)
	case !o.TakesValue && attached:
		return rest, fmt.Errorf("--%s takes no value", name)
	case attached:
		return rest, n.add(o, arg, value)
	default:
		return n.separate(o, arg, rest)
	}
}

// shorts handles a cluster of one-letter options. The first that takes a value
// has the rest of the cluster for it.
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
		short := "-" + o.Short
		if !o.TakesValue {
			if err := n.add(o, short, ""); err != nil {
				return rest, err
			}
			continue
		}
		if value := arg[1+i+1:]; value != "" {
			return rest, n.add(o, short, strings.TrimPrefix(value, "="))
		}
		return n.separate(o, short, rest)
	}
	return rest, nil
}

// separate handles an option whose value, if it takes one, is the next
// argument.
func (n *normalizer) separate(o Option, written string, rest []string) ([]string, error) {
	switch {
	case !o.TakesValue:
		return rest, n.add(o, written, "")
	case len(rest) == 0:
		return rest, fmt.Errorf("%s lacks its value", written)
	case looksLikeOption(rest[0]):
		return rest, fmt.Errorf("%s lacks its value: %s is an option; a value that begins with a dash is written %s=VALUE",
			written, rest[0], o.Name())
	}
	return rest[1:], n.add(o, written, rest[0])
}

// looksLikeOption tells an option from a value: from standard input's name -
// and from a negative number such as -10:10.
func looksLikeOption(arg string) bool {
	return len(arg) > 1 && arg[0] == '-' && !strings.ContainsRune("0123456789.", rune(arg[1]))
}

func (n *normalizer) add(o Option, written, value string) error {
	switch {
	case o.TakesValue && value == "":
		return fmt.Errorf("the value of %s is empty; is a macro or variable empty?", strings.TrimSuffix(written, "="))
	case n.given[o.Long] && !o.Repeatable:
		return fmt.Errorf("%s is given twice", o.Name())
	}
	n.given[o.Long] = true
	n.help = n.help || o.Long == "help"
	if !o.TakesValue {
		value = "true"
	}
	n.normal = append(n.normal, o.Name()+"="+value)
	return nil
}

func (n *normalizer) find(match func(Option) bool) (Option, bool) {
	i := slices.IndexFunc(n.options, match)
	if i < 0 {
		return Option{}, false
	}
	return n.options[i], true
}

// unknown explains an unknown option, with the one that was meant if the name
// is its beginning.
func (n *normalizer) unknown(written, name string) error {
	if name != "" {
		if o, ok := n.find(func(o Option) bool { return strings.HasPrefix(o.Long, name) }); ok {
			return fmt.Errorf("there is no option %s; did you mean %s?", written, o.Name())
		}
	}
	return fmt.Errorf("there is no option %s; --help shows all", written)
}
