package source

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"example.org/postfix-queue-monitor/internal/spool"
	"example.org/postfix-queue-monitor/internal/units"
)

// postfix is one Postfix instance: its configuration and its programs.
type postfix struct {
	configDir string   // empty: the default instance
	dirs      []string // where programs are looked for; nil: the usual directories
	root      bool     // they run as root, and trust nobody else's configuration

	// readMainCF reads main.cf once, however many parameters are asked for.
	readMainCF func() (mainCF, error)
}

func newPostfix(configDir string, dirs []string, root bool) postfix {
	p := postfix{configDir: configDir, dirs: dirs, root: root}
	p.readMainCF = sync.OnceValues(p.openMainCF)
	return p
}

// command returns the command line of one of Postfix's programs for this instance.
func (p postfix) command(ctx context.Context, program string, args ...string) (command, error) {
	dirs := p.dirs
	if dirs == nil {
		dirs = sbinDirs
	}
	if p.root {
		if err := p.trustConfig(rootUser); err != nil {
			return command{}, err
		}
	}
	path, err := programs{dirs, !p.root}.locate(ctx, program)
	if err != nil {
		return command{}, err
	}
	if p.configDir != "" {
		args = append([]string{"-c", p.configDir}, args...)
	}
	return command{path, args}, nil
}

// settings returns the values of parameters of main.cf, one for each parameter, empty if it is unknown because of
// an error.
func (p postfix) settings(ctx context.Context, parameters ...string) ([]string, error) {
	c, err := p.command(ctx, "postconf", append([]string{"-xh"}, parameters...)...)
	var values []string
	if err == nil {
		values, err = c.output(ctx)
	}
	for len(values) < len(parameters) {
		values = append(values, "")
	}
	return values, err
}

// settingTimeout is for a detail of a failure that is known already.
const settingTimeout = time.Second

// presentValue returns a parameter as main.cf has it, nil if it cannot be had.
func (p postfix) presentValue(ctx context.Context, parameter string) *string {
	ctx, cancel := context.WithTimeout(ctx, settingTimeout)
	defer cancel()
	c, err := p.command(ctx, "postconf", "-h", parameter)
	if err != nil {
		return nil
	}
	values, err := c.output(ctx)
	if err != nil || len(values) == 0 {
		return nil
	}
	return &values[0]
}

// queueDir returns queue_directory. It does not ask postconf if main.cf has a plain value, or none and the
// directory is in its usual place: running postconf takes longer than reading a queue of a thousand messages.
func (p postfix) queueDir(ctx context.Context) (string, error) {
	if p.root {
		if err := p.trustConfig(rootUser); err != nil {
			return "", err
		}
	}
	dir, err := p.plainSetting("queue_directory", "/var/spool/postfix")
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", noConfig(p.mainCFPath(), notFound)
	case errors.Is(err, os.ErrPermission):
		return "", noConfig(p.mainCFPath(), permissionDenied)
	}
	if err == nil && filepath.IsAbs(dir) {
		if _, err := os.Stat(filepath.Join(dir, "active")); !errors.Is(err, os.ErrNotExist) {
			return dir, nil
		}
	}
	values, err := p.settings(ctx, "queue_directory")
	return values[0], err
}

// ownName returns multi_instance_name, empty if the instance has none or it cannot be had.
func (p postfix) ownName(ctx context.Context) string {
	return strings.TrimPrefix(p.setting(ctx, "multi_instance_name"), "-") // a dash alone is no name
}

// mailSystem returns where the services of the instance listen.
func (p postfix) mailSystem(ctx context.Context, queueDir string) mailSystem {
	return mailSystem{queueDir, p.setting(ctx, "queue_service_name"), p.setting(ctx, "showq_service_name")}
}

// setting returns a parameter of main.cf, empty if it is not set or cannot be had.
func (p postfix) setting(ctx context.Context, parameter string) string {
	value, _ := p.lookUp(ctx, parameter)
	return value
}

// lookUp returns a parameter of main.cf, empty if it is not set. It does not ask postconf if main.cf has a plain value.
// What master.cf says with -o is not read.
func (p postfix) lookUp(ctx context.Context, parameter string) (value string, err error) {
	value, err = p.plainSetting(parameter, "")
	if errors.Is(err, errNotPlain) {
		values, err := p.settings(ctx, parameter)
		return values[0], err
	}
	return value, err
}

func (p postfix) mainCFPath() string {
	if p.configDir == "" {
		return "/etc/postfix/main.cf"
	}
	return filepath.Join(p.configDir, "main.cf")
}

// plainSetting returns a parameter as main.cf has it.
func (p postfix) plainSetting(parameter, byDefault string) (string, error) {
	settings, err := p.readMainCF()
	if err != nil {
		return "", err
	}
	return settings.plain(parameter, byDefault)
}

// openMainCF reads main.cf. Root reads only one that nobody else can change: it says which directories are read.
func (p postfix) openMainCF() (mainCF, error) {
	if p.root {
		if err := p.trustConfig(rootUser); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(p.mainCFPath())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseMainCF(f)
}

// mainCF is what a main.cf sets: the text of each parameter, the last one if there are several, as in postconf(5).
type mainCF map[string]string

// parseMainCF reads a main.cf. The error is that of reading.
func parseMainCF(r io.Reader) (mainCF, error) {
	settings, current := mainCF{}, ""
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#':
		case line[0] != ' ' && line[0] != '\t':
			name, text, _ := strings.Cut(line, "=")
			current = strings.TrimSpace(name)
			settings[current] = strings.TrimSpace(text)
		case current != "": // continues the line before
			settings[current] += " " + trimmed
		}
	}
	return settings, lines.Err()
}

// errNotPlain says that only Postfix itself can evaluate a setting.
var errNotPlain = errors.New("the setting refers to others")

// plain returns the value of a parameter, or the default if it is not set. The error is errNotPlain.
func (m mainCF) plain(parameter, byDefault string) (string, error) {
	value, set := m[parameter]
	switch {
	case !set:
		return byDefault, nil
	case strings.ContainsAny(value, "$ \t\r\v\f"):
		return "", errNotPlain
	}
	return value, nil
}

func (p postfix) mailVersion(ctx context.Context) string {
	values, _ := p.settings(ctx, "mail_version")
	return values[0]
}

// number returns a parameter that is a number; the default if it is not.
func (p postfix) number(ctx context.Context, parameter string, byDefault int64) int64 {
	n, err := strconv.ParseInt(p.setting(ctx, parameter), 10, 64)
	if err != nil {
		return byDefault
	}
	return n
}

// duration returns a parameter that is a time; the default if it is not set or no time. A bare number is in the unit that
// the parameter has in postconf(5). The error says that the parameter cannot be had.
func (p postfix) duration(
	ctx context.Context, parameter, unit string, byDefault time.Duration,
) (time.Duration, error) {
	value, err := p.lookUp(ctx, parameter)
	if value != "" && strings.Trim(value, "0123456789") == "" {
		value += unit
	}
	if d, err := units.ParseDuration(value); err == nil {
		return d, nil
	}
	return byDefault, err
}

// lifetimes returns maximal_queue_lifetime and bounce_queue_lifetime.
func (p postfix) lifetimes(ctx context.Context) (l spool.Lifetimes, err error) {
	const byDefault = 5 * 24 * time.Hour
	if l.Mail, err = p.duration(ctx, "maximal_queue_lifetime", "d", byDefault); err != nil {
		return l, err
	}
	l.Bounces, err = p.duration(ctx, "bounce_queue_lifetime", "d", byDefault)
	return l, err
}

// showsUTF8 reports whether smtputf8_enable lets Postfix show UTF-8 as it is. The default depends on
// compatibility_level and on how Postfix was built; Postfix before 3.0 does not have the parameter. If it cannot be
// had, UTF-8 is shown.
func (p postfix) showsUTF8(ctx context.Context) bool {
	const parameter = "smtputf8_enable"
	value, err := p.plainSetting(parameter, "")
	if err != nil || value == "" {
		var values []string
		if values, err = p.settings(ctx, parameter); err != nil {
			return true
		}
		value = values[0]
	}
	return strings.EqualFold(value, "yes")
}
