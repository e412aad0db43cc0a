// Command notices writes the licences of what is linked into Go programs: those of the modules that the binaries
// name, and that of Go itself. These licences ask for their text in every copy.
//
// Usage: notices BINARY... The modules must be in the module cache, as they are after a build.
package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binaries []string, out io.Writer) error {
	parts, err := partsOf(ctx, binaries)
	if err != nil {
		return err
	}
	text := &strings.Builder{}
	text.WriteString("The programs of this package contain the software below.\n")
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		licence, err := licencesIn(parts[name])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(text, "\n%s\n%s\n\n%s", strings.Repeat("-", 78), name, licence)
	}
	_, err = io.WriteString(out, text.String())
	return err
}

// partsOf returns what is linked into the binaries, and the directories of the sources.
func partsOf(ctx context.Context, binaries []string) (map[string]string, error) {
	if len(binaries) == 0 {
		return nil, fmt.Errorf("no binary named")
	}
	root, err := goCommand(ctx, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	parts := map[string]string{}
	for _, binary := range binaries {
		info, err := buildinfo.ReadFile(binary)
		if err != nil {
			return nil, err
		}
		parts["The Go programming language and its library, "+info.GoVersion] = root
		for _, module := range info.Deps {
			if module.Replace != nil {
				module = module.Replace
			}
			dir, err := goCommand(ctx, "list", "-m", "-f", "{{.Dir}}", module.Path)
			if err != nil {
				return nil, err
			}
			parts[module.Path+" "+module.Version] = dir
		}
	}
	return parts, nil
}

func goCommand(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", args...).Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// licencesIn returns the text of all licences and notices in a directory. At least one must be there.
func licencesIn(dir string) (string, error) {
	text := &strings.Builder{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		base, _, _ := strings.Cut(strings.ToUpper(e.Name()), ".")
		if !e.Type().IsRegular() || !slices.Contains([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE"}, base) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		text.WriteString(strings.TrimSpace(string(content)) + "\n")
	}
	if text.Len() == 0 {
		return "", fmt.Errorf("no licence in %s", dir)
	}
	return text.String(), nil
}
