//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	sshdProgram = "/usr/sbin/sshd"
	remotePipe  = "../contrib/ssh/check_postfix_queue_ssh.sh"
	remoteKeys  = "../contrib/ssh/authorized_keys"
	remoteUser  = "postfix-queue"
)

// cutBytes is the length of the part of a snapshot that comes before the connection breaks.
const cutBytes = 300

// A watchedSSH is an ssh that keeps a copy of what it has passed on.
type watchedSSH struct {
	path     string // a value of PATH with this ssh in it
	received string // the copy
}

func newWatchedSSH(t testing.TB) watchedSSH {
	t.Helper()
	bin, received := publicTempDir(t), filepath.Join(monitoringDir(t), "received")
	// tee writes to its output first.
	script := fmt.Sprintf("#!/bin/sh\nrm -f %[1]s\n/usr/bin/ssh \"$@\" | tee %[1]s\n", received)
	if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return watchedSSH{path: bin + ":/usr/bin:/bin", received: received}
}

// startSSHD starts an sshd on lo that knows the user of docs/remote.md, with the key file of contrib, and has the
// monitoring system's user know it under several names, as its own:
//
//	mx1.example.org     as documented
//	open.example.org    whose key may run anything
//	cut.example.org     whose connection breaks when the watched ssh has passed on cutBytes
//	gone.example.org    at which nobody listens
func startSSHD(t testing.TB, watched watchedSSH) {
	t.Helper()
	dir := monitoringDir(t)
	key := func(name string) (public string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if r := runAs(t, monitoringUser, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path); r.exitCode != 0 {
			t.Fatal(r)
		}
		return strings.TrimSpace(readContrib(t, path+".pub"))
	}
	authorized := readContrib(t, remoteKeys)
	documented := strings.Replace(authorized, " KEY\n", " "+key("documented")+"\n", 1)
	// The parent of the command's shell is the connection. What it has not sent when it is killed is lost.
	breakOff := fmt.Sprintf(`| head -c %[1]d; `+
		`until [ \"$(stat -c %%s %[2]s 2>&1)\" = %[1]d ]; do sleep 0.01; done; kill -9 $PPID`,
		cutBytes, watched.received)
	cut := strings.NewReplacer(
		"--timeout 5", "--timeout 5 "+breakOff,
		" KEY\n", " "+key("cut")+"\n",
	).Replace(authorized)

	open := "restrict " + key("open") + "\n"

	accounts := readContrib(t, "/etc/passwd") + remoteUser + ":x:64999:64999::/:/bin/sh\n"
	bind(t, writeConfig(t, "passwd", accounts), "/etc/passwd")
	run := publicTempDir(t)
	if err := os.Mkdir(run+"/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	bind(t, run, "/run")
	hostKey := filepath.Join(t.TempDir(), "host")
	if r := runAs(t, "root", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", hostKey); r.exitCode != 0 {
		t.Fatal(r)
	}
	const port = 2222
	server := writeConfig(t, "sshd_config", strings.Join([]string{
		fmt.Sprint("Port ", port),
		"ListenAddress 127.0.0.1",
		"HostKey " + hostKey,
		"AuthorizedKeysFile " + writeConfig(t, "authorized_keys", documented+cut+open),
		"StrictModes no", // the directory for temporary files is everybody's
		"PasswordAuthentication no",
		"PidFile none",
	}, "\n")+"\n")

	public := strings.TrimSpace(readContrib(t, hostKey+".pub"))
	clients := publicTempDir(t)
	var config strings.Builder
	for name, port := range map[string]int{"mx1": port, "open": port, "cut": port, "gone": 1} {
		identity := filepath.Join(dir, "documented")
		if name == "open" || name == "cut" {
			identity = filepath.Join(dir, name)
		}
		fmt.Fprintf(&config, "Host %s.example.org\n\tHostName 127.0.0.1\n\tPort %d\n", name, port)
		fmt.Fprintf(&config, "\tUser %s\n\tIdentityFile %s\n\tIdentitiesOnly yes\n", remoteUser, identity)
	}
	fmt.Fprintf(&config, "Host *\n\tGlobalKnownHostsFile %s\n",
		writeConfig(t, "known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s\n", port, public)))
	if err := os.WriteFile(clients+"/test.conf", []byte(config.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	bind(t, clients, "/etc/ssh/ssh_config.d")

	startDaemon(t, command{}, sshdProgram, "-D", "-e", "-f", server)
	waitFor(t, "sshd", func() (bool, any) {
		r := runAs(t, monitoringUser, "ssh", "-o", "BatchMode=yes", "mx1.example.org", "true")
		return r.exitCode != 255, r // 255 is ssh's own
	})
}

// TestRemote judges and emits the queue of another host over a real ssh, which also fails and breaks.
func TestRemote(t *testing.T) {
	needFiles(t, "openssh-server", sshdProgram)
	needFiles(t, "openssh-client", "/usr/bin/ssh", "/etc/ssh/ssh_config.d")
	p := startPostfix(t)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000}))
	p.fillQueue(11)
	installEmitter(t)
	installPlugin(t)
	watched := newWatchedSSH(t)
	startSSHD(t, watched)
	onHost := func(host string) command {
		if host == "cut" {
			return command{user: monitoringUser, env: []string{"PATH=" + watched.path}}
		}
		return command{user: monitoringUser}
	}
	plugin := filepath.Join(contribDir(t), "ssh", filepath.Base(remotePipe))
	judge := func(host string) report {
		t.Helper()
		return reportOf(onHost(host).run(t, "sh", plugin, host+".example.org", "-v", "-w", "10"))
	}
	receiver := newUDPReceiver(t)
	pass := func(host string) result {
		t.Helper()
		pipe := "ssh -o BatchMode=yes " + host + ".example.org postfix_queue_emit -f json | " +
			"postfix_queue_emit -i - -n mx1 -f statsd --to " + receiver.target()
		return onHost(host).run(t, "sh", "-c", pipe)
	}
	expect := func(t *testing.T, host, wantState, wantText, wantStderr string) {
		t.Helper()
		got := judge(host)
		prefix := "POSTFIX_QUEUE " + wantState + " - " + wantText
		if got.state != wantState || !strings.HasPrefix(got.text, prefix) || got.perfdata != "" {
			t.Errorf("want %s, %s and no performance data; got %s", wantState, wantText, got)
		}
		if r := pass(host); r.exitCode != 1 || r.stdout != "" || !strings.Contains(r.stderr, wantStderr) {
			t.Errorf("want exit code 1 and %q, got %s", wantStderr, r)
		}
		receiver.verifySilence()
	}

	t.Run("the queue there", func(t *testing.T) {
		got := judge("mx1")
		if got.state != "WARNING" || !strings.HasPrefix(got.text, "POSTFIX_QUEUE WARNING - 12 emails (above 10), ") {
			t.Errorf("want 12 emails, got %s", got)
		}
		if emails := parsePerfdata(t, got.perfdata)["emails"]; emails != (perfItem{12, "", "10", ""}) {
			t.Errorf("performance data: emails is %+v", emails)
		}
		if r := pass("mx1"); r.exitCode != 0 || r.stdout+r.stderr != "" {
			t.Error(r)
		}
		received := strings.Join(receiver.received(), "")
		gauges := parseGauges(t, strings.ReplaceAll(received, "postfix_queue.mx1.", "postfix_queue."))
		if want := p.list().metrics(queueNames); !containsAll(gauges, want) {
			t.Errorf("gauges are %v, want %v", gauges, want)
		}
	})
	t.Run("a command that is not forced", func(t *testing.T) {
		got := judge("open")
		if got.state != "WARNING" || !strings.HasPrefix(got.text, "POSTFIX_QUEUE WARNING - 12 emails (above 10), ") {
			t.Errorf("want 12 emails, got %s", got)
		}
	})
	t.Run("nothing else", func(t *testing.T) {
		r := runAs(t, monitoringUser, "ssh", "-o", "BatchMode=yes", "mx1.example.org", "id")
		if r.exitCode != 0 || !strings.HasPrefix(r.stdout, "{\n \"format\": \"postfix-queue-snapshot\"") {
			t.Errorf("want the snapshot, got %s", r)
		}
		r = runAs(t, monitoringUser, "ssh", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes",
			"-R", "2223:127.0.0.1:25", "mx1.example.org")
		if r.exitCode == 0 {
			t.Errorf("a port was forwarded: %s", r)
		}
	})
	t.Run("ssh fails", func(t *testing.T) {
		expect(t, "gone", "UNKNOWN", "the input is empty, as it is when the command that makes it fails",
			"the input is empty")
	})
	t.Run("the connection breaks", func(t *testing.T) {
		expect(t, "cut", "UNKNOWN", "standard input: the snapshot is damaged, cut off or of another version", "cut off")
	})
	t.Run("not allowed there", func(t *testing.T) {
		p.set("authorized_mailq_users=root")
		defer p.set("authorized_mailq_users=static:anyone")
		expect(t, "mx1", "UNKNOWN", "user "+remoteUser+" ", "postconf -e authorized_mailq_users=root,"+remoteUser)
	})
	t.Run("Postfix there is down", func(t *testing.T) {
		p.stop()
		expect(t, "mx1", "CRITICAL", "mail system is down", "mail system is down")
	})
}
