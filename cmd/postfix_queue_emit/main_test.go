package main

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"example.org/postfix-queue-monitor/internal/cli"
	"example.org/postfix-queue-monitor/internal/emit"
	"example.org/postfix-queue-monitor/internal/emit/emittest"
	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/scripttest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"postfix_queue_emit": main})
}

func TestScripts(t *testing.T) {
	scripttest.Run(t, "../../testdata/script/emit")
}

// brokenOnce is an output that panics once.
type brokenOnce struct{ broken bool }

func (w *brokenOnce) Write(p []byte) (int, error) {
	if !w.broken {
		w.broken = true
		panic("oops")
	}
	return len(p), nil
}

func TestPanicIsAFailure(t *testing.T) {
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"--version"}, nil, new(brokenOnce), &stderr)
	want := "postfix_queue_emit: internal error: oops; please report it\n"
	if code != exitFailed || stderr.String() != want {
		t.Errorf("exit code %d, errors %q; want %d, %q", code, stderr.String(), exitFailed, want)
	}
}

func TestDefaultsAreDocumented(t *testing.T) {
	o, err := parseOptions(nil)
	if err != nil {
		t.Fatal(err)
	}
	scripttest.DefaultsAreDocumented(t, o.Common, usage, map[string]string{
		"format":       o.Format.Name,
		"to":           o.To,
		"prefix":       o.Prefix,
		"tags":         string(o.TagStyle),
		"part":         string(o.Part),
		"update-every": strconv.Itoa(int(o.UpdateEvery)),
		"priority":     strconv.Itoa(int(o.Priority)),
	})
}

func TestOptionsAreDocumented(t *testing.T) {
	scripttest.OptionsAreDocumented(t, cli.Options(new(options)), usage, "../../man/postfix_queue_emit.1")
}

func TestOptionsAreCompleted(t *testing.T) {
	scripttest.IsCompleted(t, "postfix_queue_emit", cli.Options(new(options)), map[string][]string{
		"--format": emit.FormatNames(),
		"--tags":   emit.TagStyles(),
		"--part":   {"charts", "values", "charts,values"},
	})
}

// Two cron lines, each with its -d, must not write the same series.
func TestInstanceIsNamed(t *testing.T) {
	tests := []struct {
		name    string
		args    []string
		several bool // in the input
		want    bool
	}{
		{"default", nil, false, false},
		{"name", []string{"-n", "mx1"}, false, true},
		{"one directory", []string{"-d", "/etc/postfix-out"}, false, true},
		{"two directories", []string{"-d", "/etc/postfix", "-d", "/etc/postfix-out"}, true, true},
		{"all", []string{"-a"}, false, true},
		{"snapshot of one", []string{"-i", "x"}, false, false},
		{"snapshot of two", []string{"-i", "x"}, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts, err := parseOptions(append([]string{"-f", "statsd"}, tt.args...))
			if err != nil {
				t.Fatal(err)
			}
			if got := opts.emitOptions(tt.several).LabelInstances; got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestDescribeReading(t *testing.T) {
	tests := []struct {
		name string
		queue.Summary
		want string
	}{
		{
			"numbers",
			queue.Summary{Visited: 2, Total: queue.Tally{Messages: 2, SizeBytes: 2048}},
			"mx: 2 emails, 2 KiB; source spool: x, 0.500 s",
		},
		{"one", queue.Summary{Visited: 1, Total: queue.Tally{Messages: 1}}, "mx: 1 email, 0 B; source spool: x, 0.500 s"},
		{"empty", queue.Summary{}, "mx: 0 emails, 0 B; source spool: x, 0.500 s"},
		{
			"cut short",
			queue.Summary{Visited: 1, Partial: true, Total: queue.Tally{Messages: 1}},
			"mx: 1 email, 0 B (a lower bound); source spool: x, 0.500 s",
		},
		{
			"cut short before the first that counts",
			queue.Summary{Visited: 1, Partial: true},
			"mx: 0 emails, 0 B (a lower bound); source spool: x, 0.500 s",
		},
		{"cut short at once", queue.Summary{Partial: true}, "mx: source spool: x, 0.500 s"},
		{"down", queue.Summary{Partial: true, Facts: queue.Facts{Down: "nobody listens"}}, "mx: source spool: x, 0.500 s"},
		{
			"down, and read",
			queue.Summary{Visited: 1, Total: queue.Tally{Messages: 1}, Facts: queue.Facts{Down: "nobody listens"}},
			"mx: 1 email, 0 B; source spool: x, 0.500 s",
		},
		{"down, and empty", queue.Summary{Facts: queue.Facts{Down: "nobody listens"}}, "mx: source spool: x, 0.500 s"},
		{
			"down, from a snapshot",
			queue.Summary{Total: queue.Tally{Messages: 9}, Facts: queue.Facts{Down: "nobody listens"}},
			"mx: 9 emails, 0 B; source spool: x, 0.500 s",
		},
		{
			"unreadable line",
			queue.Summary{Visited: 1, Total: queue.Tally{Messages: 1}, Facts: queue.Facts{Unreadable: 1}},
			"mx: 1 email, 0 B, 1 line unreadable; source spool: x, 0.500 s",
		},
		{
			"unreadable lines",
			queue.Summary{Visited: 2, Total: queue.Tally{Messages: 2}, Facts: queue.Facts{Unreadable: 2}},
			"mx: 2 emails, 0 B, 2 lines unreadable; source spool: x, 0.500 s",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.Source, tt.Detail = "spool", "x"
			got := describeReading(queue.Reading{
				Instance: queue.Instance{Name: "mx"},
				Summary:  &tt.Summary,
				Took:     time.Second / 2,
			})
			if len(got) != 1 || got[0] != tt.want {
				t.Errorf("got %q, want %s", got, tt.want)
			}
		})
	}
}

// The program is silent, and the receiver has what would have been printed.
func TestDelivery(t *testing.T) {
	tests := []struct{ network, format string }{
		{"udp", "statsd"},
		{"udp", "influx"},
		{"unixgram", "influx"},
		{"tcp", "graphite"},
		{"tcp", "json"},
		{"unix", "prometheus"},
	}
	for _, tt := range tests {
		t.Run(tt.network+" "+tt.format, func(t *testing.T) {
			address := "127.0.0.1:0"
			if tt.network == "unix" || tt.network == "unixgram" {
				address = filepath.Join(t.TempDir(), "s")
			}
			address, received := receive(t, tt.network, address)
			var stdout, stderr bytes.Buffer
			args := []string{
				"-f", tt.format, "-i", "../../testdata/listing/3.7.11/mixed.json", "--max-age", "0", "--to",
				tt.network + "://" + address,
			}
			if code := run(t.Context(), args, nil, &stdout, &stderr); code != exitDone || stdout.Len()+stderr.Len() > 0 {
				t.Fatalf("exit code %d, output %q, errors %q", code, stdout.String(), stderr.String())
			}
			got, err := emittest.Decode(tt.format, received())
			if err != nil {
				t.Fatal(err)
			}
			if code := run(t.Context(), args[:len(args)-2], nil, &stdout, &stderr); code != exitDone {
				t.Fatalf("exit code %d, errors %q", code, stderr.String())
			}
			want, err := emittest.Decode(tt.format, stdout.String())
			if err != nil {
				t.Fatal(err)
			}
			// Ages differ, because there are two readings.
			for series := range want {
				if got[series] == "" {
					t.Errorf("%s is not received", series)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%d series received, want %d", len(got), len(want))
			}
		})
	}
}

// receive listens for a document. It returns the address, and a function that waits
// for the document.
func receive(t *testing.T, network, address string) (listening string, received func() string) {
	t.Helper()
	if network == "udp" || network == "unixgram" {
		server, err := net.ListenPacket(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Close() })
		return server.LocalAddr().String(), func() string {
			// The program has ended, so that all datagrams are here.
			var all []byte
			buf := make([]byte, 64<<10)
			for {
				if err := server.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				n, _, err := server.ReadFrom(buf)
				if err != nil {
					return string(all)
				}
				all = append(all, buf[:n]...)
			}
		}
	}
	server, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	document := make(chan []byte, 1)
	go func() {
		defer close(document)
		conn, err := server.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if all, err := io.ReadAll(conn); err == nil {
			document <- all
		}
	}()
	return server.Addr().String(), func() string { return string(<-document) }
}

const listing = "../../testdata/listing/3.7.11/mixed.json"

func TestBadOutputIsAFailure(t *testing.T) {
	t.Parallel() // a pipe that nobody reads takes its time
	for name, output := range scripttest.Bad(t) {
		for _, args := range [][]string{
			{"-i", listing, "--max-age", "0"},
			{"-i", listing, "--max-age", "0", "--dry-run"},
			{"--help"},
			{"--version"},
		} {
			t.Run(args[len(args)-1]+" to "+name, func(t *testing.T) {
				t.Parallel()
				ended := scripttest.RunInto(t, output, nil, "postfix_queue_emit", args...)
				if ended.ExitCode != exitFailed || ended.Stdout != "" ||
					!strings.HasPrefix(ended.Stderr, "postfix_queue_emit: cannot write to standard output: ") {
					t.Errorf("%+v", ended)
				}
			})
		}
	}
}

// Complaints that nobody can read do not keep the program from sending what it can.
func TestBadStandardError(t *testing.T) {
	t.Parallel() // a pipe that nobody reads takes its time
	for name, output := range scripttest.Bad(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := scripttest.RunInto(t, nil, output, "postfix_queue_emit", "-f", "prometheus", "-i", "/nosuch")
			if ended.ExitCode != exitFailed || !strings.Contains(ended.Stdout, `postfix_queue_up{instance_name="local"} 0`) {
				t.Errorf("%+v", ended)
			}
		})
	}
}

// A signal ends the program. It leaves the old document or the new one, and nothing else.
func TestSignals(t *testing.T) {
	content, err := os.ReadFile(listing)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "queue.prom")
	const runs, old = 200, "old\n"
	cmd := func() *exec.Cmd {
		if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
		return exec.CommandContext(t.Context(), "postfix_queue_emit", "-f", "prometheus", "-i", "-", "--to", path)
	}
	interrupted := 0
	scripttest.Interrupt(t, runs, content, cmd, func(ended scripttest.Ended) {
		document, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		const lastSeries = `postfix_queue_message_size_bytes_count{instance_name="local",queue="maildrop"}`
		isWhole := strings.HasSuffix(string(document), lastSeries+" 0\n")
		switch {
		case ended.ExitCode == exitFailed && string(document) == old && ended.Stdout == "" &&
			strings.Contains(ended.Stderr, "interrupted by a signal"):
			interrupted++
		case ended != scripttest.Ended{} || !isWhole:
			t.Fatalf("%+v, document %q", ended, document)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Fatalf("left behind: %v, %v; %+v", entries, err, ended)
		}
	})
	if interrupted == 0 {
		t.Error("no run was interrupted")
	}
}
