//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestSnapshotSchema writes snapshots of every kind. The method emit holds each against its schema; what is asked here
// is whether it is of its kind.
func TestSnapshotSchema(t *testing.T) {
	l := startLab(t)
	out := newSecondInstance(l.postfixInstance)
	out.start()
	out.deferMail(2)
	l.dns.mail("limits.example", "mx.limits.example", "127.0.0.11")
	newSMTPServerAt(t, "127.0.0.11:25").greet("421 4.7.28 Too much mail from your network")
	l.defers(mails(20, func(i int) mail {
		m := mail{from: "x@isp.example", to: []string{"r@limits.example"}, login: "anna@isp.example", client: "192.0.2.1"}
		if i == 0 {
			for n := range 120 {
				m.to = append(m.to, fmt.Sprintf("r%d@limits.example", n))
			}
		}
		return m
	}))
	l.forceExpire(l.queueIDs("deferred")[0])
	l.hold(l.queueIDs("deferred")[:3]...)
	dir := publicTempDir(t)
	save := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text := save("listing.txt", l.must(l.postqueue("-p")).stdout)
	saved := save("snapshot.json", l.must(root.emit(t, "-f", "json", "-a", "--breakdown")).stdout)
	unconfigured := filepath.Join(dir, "nowhere")

	type instance struct {
		Name, Source, Error, Down         string
		Up, Timeless                      bool
		Queues, Findings, Tops, Breakdown map[string]any
		Troubles                          []any
		DeferralReasons                   map[string]int64 `json:"deferral_reasons"`
		FilterSenders                     []string         `json:"filter_senders"`
		FilterOlderThan                   int64            `json:"filter_older_than"`
	}
	tests := map[string]struct {
		as       command
		args     []string
		exitCode int
		is       func(list []instance) bool
	}{
		"one instance": {root, nil, 0, func(l []instance) bool {
			return len(l) == 1 && l[0].Source == "spool" && l[0].Up && l[0].Breakdown == nil
		}},
		"several": {root, []string{"-a", "--breakdown"}, 0, func(l []instance) bool {
			return len(l) == 2 && l[0].Breakdown["largest"] != nil && l[0].Breakdown["logins"] != nil
		}},
		"several, of which one failed": {root, []string{"-d", configDir, "-d", unconfigured}, 1, func(l []instance) bool {
			return len(l) == 2 && l[0].Up && l[1].Error != ""
		}},
		"an ordinary user": {nobody, []string{"--breakdown"}, 0, func(l []instance) bool {
			return l[0].Breakdown != nil && l[0].Breakdown["logins"] == nil
		}},
		"showq": {root, []string{"--breakdown", "--source", "showq"}, 0, func(l []instance) bool {
			return l[0].Source == "showq"
		}},
		"reasons": {root, []string{"--by-reason"}, 0, func(l []instance) bool {
			return l[0].DeferralReasons["rate_limited"] > 0
		}},
		"filters": {root, []string{
			"--sender", "!^z", "--sender", "x", "--login", "anna", "--client", "192", "--recipient", "limits",
			"--reason", "Too", "--older-than", "0s", "-q", "deferred,hold", "--breakdown",
		}, 0, func(l []instance) bool { return len(l[0].FilterSenders) == 2 && len(l[0].Queues) == 2 }},
		"old mail": {root, []string{"--older-than", "3h"}, 0, func(l []instance) bool {
			return l[0].FilterOlderThan == 10800
		}},
		"a text listing": {root, []string{"-i", text, "--breakdown"}, 0, func(l []instance) bool {
			return l[0].Source == "input" && l[0].Timeless && len(l[0].Queues) == 2
		}},
		"queues that a text listing does not tell apart": {
			root, []string{"-i", text, "-q", "deferred,incoming,maildrop"}, 0,
			func(l []instance) bool { return len(l[0].Queues) == 0 && l[0].Error == "" },
		},
		"a queue that it does not name": {root, []string{"-i", text, "-q", "deferred"}, 1, func(l []instance) bool {
			return l[0].Error != ""
		}},
		"a snapshot": {root, []string{"-i", saved}, 0, func(l []instance) bool {
			return len(l) == 2 && l[0].Breakdown != nil
		}},
		"unseen": {root, []string{"--queue-directory", copyOfSpool(t)}, 0, func(l []instance) bool {
			return !l[0].Up && len(l[0].Troubles) > 0
		}},
	}
	verify := func(t *testing.T, as command, args []string, exitCode int, is func([]instance) bool) {
		t.Helper()
		r := as.emit(t, append([]string{"-f", "json"}, args...)...)
		var document struct{ Instances []instance }
		err := json.Unmarshal([]byte(r.stdout), &document)
		if r.exitCode != exitCode || err != nil || len(document.Instances) == 0 || !is(document.Instances) {
			t.Errorf("%v: %s", err, r)
		}
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { verify(t, tt.as, tt.args, tt.exitCode, tt.is) })
	}
	l.stop()
	t.Run("down", func(t *testing.T) {
		verify(t, root, nil, 1, func(l []instance) bool { return !l[0].Up && l[0].Down != "" })
	})
}

// copyOfSpool copies the queues and defer logs alone to another directory: nothing in it shows whether Postfix runs.
func copyOfSpool(t *testing.T) (dir string) {
	t.Helper()
	dir = publicTempDir(t)
	for _, name := range append([]string{"defer"}, queueNames...) {
		if r := root.run(t, "cp", "-a", filepath.Join(spoolDir, name), dir); r.exitCode != 0 {
			t.Fatal(r)
		}
	}
	return dir
}
