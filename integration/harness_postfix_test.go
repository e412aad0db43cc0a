//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The default places of Postfix.
const (
	configDir = "/etc/postfix"
	spoolDir  = "/var/spool/postfix"
	dataDir   = "/var/lib/postfix"
	mailLog   = dataDir + "/mail.log"

	masterName = "master" // the process that runs all others
)

// testSettings keep the mail of a test on this machine: all of it is deferred, without a DNS query, until a
// test changes default_transport and defer_transports.
var testSettings = []string{
	"compatibility_level=3.6",
	"myhostname=mail.example.org",
	"mydestination=",
	"mynetworks=127.0.0.0/8",
	"inet_interfaces=127.0.0.1",
	"inet_protocols=ipv4",
	"smtpd_peername_lookup=no",
	"alias_maps=",
	"alias_database=",
	"default_transport=smtp",
	"defer_transports=smtp",
	"maillog_file=" + mailLog,
	"maillog_file_prefixes=/var",
}

// A postfixInstance is a real Postfix at the default places, with an empty queue and its own settings, for one
// test at a time. The main.cf of the machine's Postfix does not affect it.
type postfixInstance struct {
	t testing.TB
}

// newPostfix sets up a Postfix that is not running yet, with settings ("name=value") on top of
// testSettings. It is stopped and gone when the test ends.
func newPostfix(t testing.TB, settings ...string) *postfixInstance {
	t.Helper()
	p := &postfixInstance{t: t}
	config, spool, data := copyConfig(t), publicTempDir(t), ownedDir(t, "postfix")
	if err := os.WriteFile(filepath.Join(config, "main.cf"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	// Debian keeps the services as they are delivered beside those in use.
	if delivered, err := os.ReadFile(filepath.Join(config, "master.cf.proto")); err == nil {
		if err := os.WriteFile(filepath.Join(config, "master.cf"), delivered, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bind(t, config, configDir)
	bind(t, spool, spoolDir)
	bind(t, data, dataDir)
	t.Cleanup(func() {
		if t.Failed() {
			const most = 20_000
			log := p.log()
			t.Logf("the end of %s:\n%s", mailLog, log[max(0, len(log)-most):])
		}
		p.stop()
	})
	p.set(append(slices.Clone(testSettings), settings...)...)
	return p
}

// startPostfix is newPostfix, running.
func startPostfix(t testing.TB, settings ...string) *postfixInstance {
	t.Helper()
	p := newPostfix(t, settings...)
	p.start()
	return p
}

// must fails the test if a command failed.
func (p *postfixInstance) must(r result) result {
	p.t.Helper()
	if r.exitCode != 0 {
		p.t.Fatal(r)
	}
	return r
}

// set changes settings in main.cf, each "name=value". Programs see them at once, daemons after reload.
func (p *postfixInstance) set(settings ...string) {
	p.t.Helper()
	if len(settings) == 0 {
		return
	}
	p.must(runAs(p.t, "root", "postconf", append([]string{"-e"}, settings...)...))
	p.settle(configDir)
}

// settle makes changes of a main.cf take effect at once. The method set does it by itself.
func (p *postfixInstance) settle(dir string) {
	p.t.Helper()
	// Every Postfix program waits until main.cf is a second or two old, so that it does not read half of it.
	settled := time.Now().Add(-time.Minute)
	if err := os.Chtimes(filepath.Join(dir, "main.cf"), settled, settled); err != nil {
		p.t.Fatal(err)
	}
}

// setting is the value of a setting.
func (p *postfixInstance) setting(name string) string {
	p.t.Helper()
	return strings.TrimSpace(p.must(runAs(p.t, "root", "postconf", "-h", name)).stdout)
}

// disableService takes a service ("pickup/unix") out of master.cf. It holds from the next start or
// reload on.
func (p *postfixInstance) disableService(service string) {
	p.t.Helper()
	p.must(runAs(p.t, "root", "postconf", "-MX", service))
}

// start returns when the daemons listen.
func (p *postfixInstance) start() {
	p.t.Helper()
	p.must(runAs(p.t, "root", "postfix", "start"))
	if p.master() == nil {
		p.t.Fatalf("%s does not run after postfix start", masterName)
	}
}

// stop returns when no daemon is left. It sends the signal of "postfix stop", which itself waits for
// whole seconds.
func (p *postfixInstance) stop() {
	p.t.Helper()
	master := p.master()
	if master == nil {
		return
	}
	if err := unix.Kill(master.pid, unix.SIGTERM); err != nil {
		p.t.Fatalf("stop Postfix: %v", err)
	}
	waitFor(p.t, "the end of Postfix", func() (bool, any) {
		daemons := p.daemons(master)
		return len(daemons) == 0, daemons
	})
}

// reload returns when all daemons with the old settings are gone. Those that are busy with a delivery
// or a client end only after that. A message that is just being delivered stays in the incoming queue
// until the next scan, minutes later: wait for it before.
func (p *postfixInstance) reload() {
	p.t.Helper()
	master := p.master()
	if master == nil {
		p.t.Fatal("reload: Postfix does not run")
	}
	old := make(map[int]bool)
	for _, daemon := range p.daemons(master) {
		old[daemon.pid] = true
	}
	delete(old, master.pid)
	p.must(runAs(p.t, "root", "postfix", "reload"))
	waitFor(p.t, "the end of the daemons with the old settings", func() (bool, any) {
		var left []process
		for _, daemon := range p.daemons(master) {
			if old[daemon.pid] {
				left = append(left, daemon)
			}
		}
		return len(left) == 0, left
	})
}

// master is the process that runs all other daemons, nil if Postfix does not run.
func (p *postfixInstance) master() *process {
	p.t.Helper()
	for _, candidate := range liveProcesses(p.t) {
		if candidate.comm == masterName && candidate.pid == candidate.pgid {
			return &candidate
		}
	}
	return nil
}

// daemons are all live processes of a running Postfix, the master among them.
func (p *postfixInstance) daemons(master *process) []process {
	p.t.Helper()
	var daemons []process
	for _, candidate := range liveProcesses(p.t) {
		if candidate.pgid == master.pgid {
			daemons = append(daemons, candidate)
		}
	}
	return daemons
}

// log is what Postfix has logged so far.
func (p *postfixInstance) log() string {
	log, err := os.ReadFile(mailLog)
	if err != nil {
		return err.Error()
	}
	return string(log)
}

// postqueue runs postqueue as root.
func (p *postfixInstance) postqueue(args ...string) result {
	p.t.Helper()
	return runAs(p.t, "root", postqueueProgram, args...)
}

// postsuper runs postsuper, which must succeed.
func (p *postfixInstance) postsuper(args ...string) {
	p.t.Helper()
	p.must(runAs(p.t, "root", "postsuper", args...))
}

// hold puts messages on hold.
func (p *postfixInstance) hold(ids ...string) { p.t.Helper(); p.eachID("-h", ids) }

// forceExpire marks messages to be returned at the next delivery attempt.
func (p *postfixInstance) forceExpire(ids ...string) { p.t.Helper(); p.eachID("-e", ids) }

func (p *postfixInstance) eachID(flag string, ids []string) {
	p.t.Helper()
	p.must(command{stdin: strings.Join(ids, "\n") + "\n"}.run(p.t, "postsuper", flag, "-"))
}

// A listing is what "postqueue -j" lists.
type listing []listedMessage

type listedMessage struct {
	Queue        string            `json:"queue_name"`
	ID           string            `json:"queue_id"`
	ArrivalTime  int64             `json:"arrival_time"` // seconds since 1970
	SizeBytes    int64             `json:"message_size"`
	ForcedExpire bool              `json:"forced_expire"`
	Sender       string            `json:"sender"`
	Recipients   []listedRecipient `json:"recipients"`
}

type listedRecipient struct {
	Address     string `json:"address"`
	DelayReason string `json:"delay_reason"`
}

// in is the part of the listing that is in one queue.
func (l listing) in(queue string) listing {
	var part listing
	for _, m := range l {
		if m.Queue == queue {
			part = append(part, m)
		}
	}
	return part
}

func (l listing) ids() []string {
	var ids []string
	for _, m := range l {
		ids = append(ids, m.ID)
	}
	return ids
}

// sizeBytes is the sum of the sizes.
func (l listing) sizeBytes() int64 {
	var sum int64
	for _, m := range l {
		sum += m.SizeBytes
	}
	return sum
}

// message is the message with that queue ID; its ID is empty if there is none.
func (l listing) message(id string) listedMessage {
	for _, m := range l {
		if m.ID == id {
			return m
		}
	}
	return listedMessage{}
}

// list is what postqueue lists for root, also while Postfix does not run.
func (p *postfixInstance) list() listing {
	p.t.Helper()
	listed, err := parseListing(p.must(p.postqueue("-j")).stdout)
	if err != nil {
		p.t.Fatal(err)
	}
	return listed
}

func parseListing(lines string) (listing, error) {
	var listed listing
	for line := range strings.Lines(lines) {
		var m listedMessage
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			return nil, fmt.Errorf("postqueue -j: %w in %q", err, line)
		}
		listed = append(listed, m)
	}
	return listed, nil
}

// queueIDs are the IDs of the messages in a queue.
func (p *postfixInstance) queueIDs(queue string) []string {
	p.t.Helper()
	return p.list().in(queue).ids()
}

// waitQueue waits until the listing is as awaited, and returns it.
func (p *postfixInstance) waitQueue(awaited func(listing) bool) listing {
	p.t.Helper()
	var listed listing
	waitFor(p.t, "the queue", func() (bool, any) {
		listed = p.list()
		return awaited(listed), fmt.Sprintf("%+v", listed)
	})
	return listed
}

// waitDeferred waits until the given messages lie in the deferred queue, with a reason for each
// recipient.
func (p *postfixInstance) waitDeferred(ids ...string) listing {
	p.t.Helper()
	return p.waitQueue(func(listed listing) bool {
		for _, id := range ids {
			m := listed.message(id)
			if m.Queue != "deferred" {
				return false
			}
			for _, r := range m.Recipients {
				if r.DelayReason == "" {
					return false
				}
			}
		}
		return true
	})
}

// flush makes Postfix try all deferred mail again.
func (p *postfixInstance) flush() {
	p.t.Helper()
	p.must(p.postqueue("-f"))
}
