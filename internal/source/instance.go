package source

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"example.org/postfix-queue-monitor/internal/queue"
)

// instances returns the instances that the request names. No two have the same name in metrics.
func (req Request) instances(ctx context.Context) ([]queue.Instance, error) {
	var list []queue.Instance
	switch {
	case req.AllInstances:
		var err error
		if list, err = req.enabledInstances(ctx); err != nil {
			return nil, err
		}
	case len(req.ConfigDirs) == 0:
		return []queue.Instance{{Name: LocalName}}, nil
	default:
		for _, dir := range req.ConfigDirs {
			list = append(list, queue.Instance{Name: req.postfix(dir).ownName(ctx), ConfigDir: dir})
		}
	}
	for i := range list {
		switch {
		case list[i].Name != "":
		case len(list) == 1:
			list[i].Name = LocalName
		default:
			list[i].Name = filepath.Base(list[i].ConfigDir)
		}
	}
	for i, a := range list {
		for _, b := range list[:i] {
			if a.Label() == b.Label() {
				return nil, fmt.Errorf("the instances %s and %s have the same name in metrics, %s; set multi_instance_name in their main.cf",
					a.ConfigDir, b.ConfigDir, a.Label())
			}
		}
	}
	return list, nil
}

// enabledInstances returns the instances that postmulti lists as enabled. If it fails, as it does when the
// main.cf of one of them is missing, they are those that the default instance's main.cf names.
func (req Request) enabledInstances(ctx context.Context) ([]queue.Instance, error) {
	c, err := req.postfix("").command(ctx, "postmulti", "-l")
	var lines []string
	if err == nil {
		lines, err = c.output(ctx)
	}
	if err == nil && len(lines) > 0 {
		return parsePostmulti(lines)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	values, settingsErr := req.postfix("").settings(ctx, "config_directory", "multi_instance_directories")
	if settingsErr != nil {
		return nil, settingsErr
	}
	dirs := strings.FieldsFunc(values[0]+" "+values[1], func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
	var list []queue.Instance
	for i, dir := range dirs {
		p := req.postfix(dir)
		// The default instance is always enabled. One without a main.cf is kept, to be noticed.
		if enabled, err := p.plainSetting("multi_instance_enable", "no"); err == nil && i > 0 && enabled != "yes" {
			continue
		}
		list = append(list, queue.Instance{Name: nameOf(i, p.ownName(ctx)), ConfigDir: dir})
	}
	if len(list) == 0 {
		return nil, errors.New("postconf does not say where its main.cf is; run it by hand as this user")
	}
	return list, nil
}

// nameOf returns the name of the i-th instance: the first is the default one, which may have no name.
func nameOf(i int, own string) string {
	if i == 0 && own == "" {
		return LocalName
	}
	return own
}

// parsePostmulti reads the output of postmulti -l: name, group, whether the instance is enabled, and its
// directory. A missing name or group is a dash.
func parsePostmulti(lines []string) ([]queue.Instance, error) {
	var list []queue.Instance
	for i, line := range lines {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 4 || !filepath.IsAbs(fields[3]) {
			return nil, fmt.Errorf("cannot parse this line of postmulti -l: %s", line)
		}
		if fields[2] != "y" {
			continue
		}
		list = append(list, queue.Instance{Name: nameOf(i, strings.TrimPrefix(fields[0], "-")), ConfigDir: fields[3]})
	}
	if len(list) == 0 {
		return nil, errors.New("postmulti lists no enabled instance; enable one: postmulti -i NAME -e enable")
	}
	return slices.Clip(list), nil
}
