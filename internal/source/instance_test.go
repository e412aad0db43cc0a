package source

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/queue"
)

func TestParsePostmulti(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		want  []queue.Instance
		fails bool
	}{
		{
			name:  "one",
			lines: []string{"-               -               y         /etc/postfix"},
			want:  []queue.Instance{{Name: "local", ConfigDir: "/etc/postfix"}},
		},
		{
			name: "several",
			lines: []string{
				"-               -               y         /etc/postfix",
				"postfix-out     mta             y         /etc/postfix-out",
				"postfix-old     mta             n         /etc/postfix-old",
				"-               -               y         /etc/postfix-x",
				"",
			},
			want: []queue.Instance{
				{Name: "local", ConfigDir: "/etc/postfix"}, {
					Name:      "postfix-out",
					ConfigDir: "/etc/postfix-out",
				}, {ConfigDir: "/etc/postfix-x"},
			},
		},
		{name: "none enabled", lines: []string{"- - n /etc/postfix"}, fails: true},
		{name: "something else", lines: []string{"postmulti: fatal: no"}, fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parsePostmulti(tt.lines)
			if (err != nil) != tt.fails {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("instances (-want +got):\n%s", diff)
			}
		})
	}
}

// namesOf returns the instances of readings, and their errors, one a line.
func namesOf(readings []queue.Reading) string {
	var text strings.Builder
	for _, r := range readings {
		fmt.Fprintf(&text, "%s %s %s\n", r.Instance.Name, r.Instance.ConfigDir, errorText(r.Err))
	}
	return text.String()
}

func TestNamesOfInstances(t *testing.T) {
	first, second := startPostfix(t, "multi_instance_name = postfix-out\n"), startPostfix(t, "")
	dash, computed := startPostfix(t, "multi_instance_name = -\n"), startPostfix(t, "multi_instance_name = $myhostname\n")
	twin := startPostfix(t, "multi_instance_name = Postfix.Out\n")
	programs := []string{install(t, map[string]string{
		"postqueue": goodPostqueue,
		"postconf":  `[ "$3 $4" = "-xh multi_instance_name" ] && echo mx.example.com`,
	})}
	none := t.TempDir()
	tests := []struct {
		name string
		dirs []string
		want string
	}{
		{"none named", nil, "local  \n"},
		{"one with a name", []string{first.configDir}, "postfix-out " + first.configDir + " \n"},
		{"one without a name", []string{second.configDir}, "local " + second.configDir + " \n"},
		{"a dash is not a name", []string{dash.configDir}, "local " + dash.configDir + " \n"},
		{"a name that Postfix computes", []string{computed.configDir}, "mx.example.com " + computed.configDir + " \n"},
		{
			"one of two without a name", []string{first.configDir, second.configDir},
			"postfix-out " + first.configDir + " \n" + filepath.Base(second.configDir) + " " + second.configDir + " \n",
		},
		{"no main.cf", []string{none}, "local " + none + " \n"},
		{
			"two with one label", []string{first.configDir, second.configDir, twin.configDir},
			"local  the instances " + twin.configDir + " and " + first.configDir + " have the same name in metrics, " +
				"postfix_out; set multi_instance_name in their main.cf\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			readings := ReadAll(t.Context(), Request{ConfigDirs: tt.dirs, Source: PostqueueName, programDirs: programs})
			if diff := cmp.Diff(tt.want, namesOf(readings)); diff != "" {
				t.Errorf("instances (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAllInstances(t *testing.T) {
	main := startPostfix(t, "")
	out := startPostfix(t, "multi_instance_name = out\nmulti_instance_enable = yes\n")
	off := startPostfix(t, "multi_instance_name = off\n")
	computed := startPostfix(t, "multi_instance_name = computed\nmulti_instance_enable = $all\n")
	gone := filepath.Join(t.TempDir(), "gone")
	prints := func(lines ...string) string { return `printf '%s\n' '` + strings.Join(lines, `' '`) + `'` }
	settings := func(dirs ...string) string {
		return `[ "$*" = "-xh config_directory multi_instance_directories" ] && ` +
			prints(main.configDir, strings.Join(dirs, ", "))
	}
	two := "local " + main.configDir + " \nout " + out.configDir + " \n"
	tests := []struct {
		name                string
		postmulti, postconf string
		want                string
	}{
		{
			name:      "as postmulti lists them",
			postmulti: `[ "$*" = -l ] && ` + prints("- - y "+main.configDir, "out - y "+out.configDir, "off - n "+off.configDir),
			want:      two,
		},
		{
			name:      "one alone",
			postmulti: "echo - - y " + main.configDir,
			want:      "local " + main.configDir + " \n",
		},
		{
			name:      "a later one without a name",
			postmulti: prints("- - y "+main.configDir, "- - y "+off.configDir),
			want:      "local " + main.configDir + " \n" + filepath.Base(off.configDir) + " " + off.configDir + " \n",
		},
		{
			name:      "postmulti fails",
			postmulti: "exit 1",
			postconf:  settings(out.configDir, off.configDir),
			want:      two,
		},
		{
			name:      "postmulti prints nothing",
			postmulti: "true",
			postconf:  settings(out.configDir),
			want:      two,
		},
		{
			name:      "one without a main.cf is noticed, and one that only Postfix knows to be enabled",
			postmulti: "exit 1",
			postconf:  settings(out.configDir, gone, computed.configDir),
			want:      two + "gone " + gone + " \ncomputed " + computed.configDir + " \n",
		},
		{
			name:      "there is only one",
			postmulti: "exit 1",
			postconf:  settings(),
			want:      "local " + main.configDir + " \n",
		},
		{
			name:      "none is enabled",
			postmulti: "echo - - n " + main.configDir,
			want:      "local  postmulti lists no enabled instance; enable one: postmulti -i NAME -e enable\n",
		},
		{
			name:      "something else",
			postmulti: "echo usage",
			want:      "local  cannot parse this line of postmulti -l: usage\n",
		},
		{
			name:      "postconf fails, too",
			postmulti: "exit 1",
			postconf:  "echo 'postconf: fatal: x' >&2; exit 1",
			want: "local  DIR/postconf -xh config_directory multi_instance_directories: exit status 1: " +
				"postconf: fatal: x; run it by hand as this user\n",
		},
		{
			name:      "postconf says nothing",
			postmulti: "exit 1",
			postconf:  "true",
			want:      "local  postconf does not say where its main.cf is; run it by hand as this user\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := install(t, map[string]string{"postqueue": goodPostqueue, "postmulti": tt.postmulti, "postconf": tt.postconf})
			readings := ReadAll(t.Context(), Request{AllInstances: true, Source: PostqueueName, programDirs: []string{dir}})
			if diff := cmp.Diff(tt.want, strings.ReplaceAll(namesOf(readings), dir, "DIR")); diff != "" {
				t.Errorf("instances (-want +got):\n%s", diff)
			}
		})
	}
}

// A reading that nothing can interrupt is given up.
func TestInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		defer close(hang)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := inTime(ctx, func() (int, error) { <-hang; return 1, nil })
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "did not end in time") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(start); took != time.Minute+stuckAfter {
			t.Errorf("given up after %s", took)
		}
	})
}

// It is given up after a signal, too, and does not say that it was slow.
func TestInTimeSaysWhyItEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		defer close(hang)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("interrupted by a test"))
		_, err := inTime(ctx, func() (int, error) { <-hang; return 1, nil })
		const want = "reading did not end when it was interrupted by a test; " +
			"the disk may hang (look into the kernel log), or one message is very long"
		if err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	})
}

// A reading that notices the end of its context says itself what it has.
func TestInTimeWaitsForAReadingThatIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		n, err := inTime(ctx, func() (int, error) {
			<-ctx.Done()
			time.Sleep(stuckAfter / 2)
			return 7, ctx.Err()
		})
		if n != 7 || !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "did not end in time") {
			t.Errorf("%d, %v", n, err)
		}
	})
}

func TestInTimeReturnsTheAnswer(t *testing.T) {
	_, err := inTime(t.Context(), func() (int, error) { panic("oops") })
	if err == nil || !strings.Contains(err.Error(), "internal error: oops") {
		t.Errorf("error %v", err)
	}
	if n, err := inTime(t.Context(), func() (int, error) { return 7, nil }); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
