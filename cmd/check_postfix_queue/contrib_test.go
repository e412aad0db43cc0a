package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestHostIsNotAnOption runs the plugin for another host with an ssh that notes its arguments.
func TestHostIsNotAnOption(t *testing.T) {
	const plugin = "../../contrib/ssh/check_postfix_queue_ssh.sh"
	const refused = "POSTFIX_QUEUE UNKNOWN - invalid host: want its name first, as in: " +
		"check_postfix_queue_ssh.sh mx1.example.org -w 100\n"
	tests := []struct {
		name string
		args []string
		want string // arguments of ssh; empty: it does not run
	}{
		{"a host", []string{"mx1", "-w", "1"}, "-o BatchMode=yes -o ConnectTimeout=5 -- mx1 postfix_queue_emit -f json\n"},
		{"none", nil, ""},
		{"an empty one", []string{"", "-w", "1"}, ""},
		{"an option", []string{"-oProxyCommand=touch x", "-w", "1"}, ""},
		{"an option that swallows the next", []string{"-F", "/tmp/x", "mx1"}, ""},
		{"two dashes", []string{"--", "mx1"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bin := t.TempDir()
			noted := filepath.Join(bin, "noted")
			if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte("#!/bin/sh\necho \"$@\" >"+noted+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			out, err := exec.CommandContext(t.Context(), "sh", append([]string{plugin}, tt.args...)...).Output()
			got, _ := os.ReadFile(noted)
			if string(got) != tt.want {
				t.Errorf("ssh %q, want %q", got, tt.want)
			}
			if tt.want != "" {
				return // the rest needs an installed plugin
			}
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok || exit.ExitCode() != 3 || string(out) != refused || len(exit.Stderr) > 0 {
				t.Errorf("%v, %q", err, strings.TrimSpace(string(out)))
			}
		})
	}
}
