package source

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// postfix is the programs of one Postfix instance.
type postfix struct {
	configDir string   // empty: the default instance
	dirs      []string // where programs are looked for; nil: the usual directories
}

// command returns the command line of one of Postfix's programs for this
// instance.
func (p postfix) command(ctx context.Context, program string, args ...string) (command, error) {
	dirs := p.dirs
	if dirs == nil {
		dirs = sbinDirs()
	}
	path, err := locate(ctx, dirs, program)
	if err != nil {
		return command{}, err
	}
	if p.configDir != "" {
		args = append([]string{"-c", p.configDir}, args...)
	}
	return command{path, args}, nil
}

// settings returns the values of parameters of main.cf.
func (p postfix) settings(ctx context.Context, parameters ...string) ([]string, error) {
	c, err := p.command(ctx, "postconf", append([]string{"-xh"}, parameters...)...)
	if err != nil {
		return nil, err
	}
	values, err := c.output(ctx)
	for len(values) < len(parameters) {
		values = append(values, "")
	}
	return values, err
}

// settingTimeout is for a word about a failure that is known already.
const settingTimeout = time.Second

// presentValue returns a parameter as it stands in main.cf, nil where it cannot
// be had.
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

// queueDirGuess returns what queue_directory probably is, without the cost of
// running a program: where this user may not read that, no more need be asked.
func (p postfix) queueDirGuess() string {
	guess := "/var/spool/postfix"
	configDir := p.configDir
	if configDir == "" {
		configDir = "/etc/postfix"
	}
	f, err := os.Open(filepath.Join(configDir, "main.cf"))
	if err != nil {
		return guess
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, 1<<20))
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), "=")
		if ok && strings.TrimRight(name, " \t") == "queue_directory" {
			guess = strings.TrimSpace(value)
		}
	}
	return guess
}
