package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRun(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "check_postfix_queue")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/check_postfix_queue")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var out strings.Builder
	if err := run(t.Context(), []string{binary, binary}, &out); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	want := map[string]int{
		"\nThe Go programming language and its library, go1": 1,
		"\ngithub.com/alexflint/go-arg v":                    1,
		"\ngithub.com/atc0005/go-nagios v":                   1,
		"\nCopyright (c) 2015, Alex Flint":                   2, // go-arg and go-scalar
		"github.com/google/go-cmp":                           0, // only tests use it
	}
	for text := range want {
		got[text] = strings.Count(out.String(), text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s\nin\n%s", diff, out.String())
	}
}

func TestLicencesIn(t *testing.T) {
	tests := []struct {
		name  string
		files []string
		want  string
	}{
		{"one", []string{"LICENSE", "README.md"}, "LICENSE\n"},
		{"with a suffix", []string{"license.txt", "main.go"}, "license.txt\n"},
		{"with a notice", []string{"COPYING", "NOTICE.md", "licenses.go"}, "COPYING\nNOTICE.md\n"},
		{"none", []string{"README.md"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, f := range tt.files {
				if err := os.WriteFile(filepath.Join(dir, f), []byte(f), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := licencesIn(dir)
			if got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestRunRefuses(t *testing.T) {
	tests := []struct {
		name     string
		binaries []string
		want     string
	}{
		{"nothing", nil, "no binary named"},
		{"no binary", []string{"main.go"}, "main.go"},
		{"no file", []string{"nothing-here"}, "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := run(t.Context(), tt.binaries, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
