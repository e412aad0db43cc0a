//go:build integration

package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// elsewhere has the commands of the documents that TestDocuments does not run, and what does.
var elsewhere = map[string]string{
	"apt install ./postfix-queue-monitor_*_amd64.deb":                 "packaging/roots.sh",
	"apt install -y nagios-nrpe-server nagios-nrpe-plugin":            "integration/install.sh",
	"apt install -y icinga2":                                          "integration/install.sh",
	"apt install -y prometheus-node-exporter curl":                    "integration/install.sh",
	"apt install -y zabbix-agent":                                     "integration/install.sh",
	"apt install -y netdata curl":                                     "integration/install.sh",
	"git clone https://example.org/postfix-queue-monitor":             "nothing: the address is a placeholder",
	"cd postfix-queue-monitor":                                        "nothing: it follows the clone",
	"make run":                                                        ".ci/run",
	"sudo make install":                                               "packaging/packages_test.go",
	"check_postfix_queue --state":                                     "nothing: it names the option",
	"icingacli director basket restore <icinga2/director-basket.json": "TestDirector",

	"check_postfix_queue -w 1000 -c 2000 -w growth=5000 --state /var/lib/nagios/postfix_queue.state": "TestGrowth",

	"REQUIRE=all go test -tags integration -count=1 -v -run '^TestFaults$' ./integration":                  ".ci/run",
	"go test -tags integration -run '^$' -bench BenchmarkListing -benchtime 1x -timeout 60m ./integration": "make bench",

	"REQUIRE=all go test -tags integration -run '^$' -bench BenchmarkLimits -benchtime 1x ./integration": "make bench",
	"REQUIRE=all go test -tags integration -run '^$' -bench BenchmarkFalseAlarms -benchtime 1x -timeout 60m " +
		"./integration/": "make bench",
}

// elsewhereBegin has the beginnings of such commands.
var elsewhereBegin = map[string]string{
	"postfix_queue_emit -f statsd --tags datadog -m '*,up' --queue-directory /spool ": "TestContainer runs such commands",
	"docker ": "nothing: there is no Docker engine; TestContainer runs the same images with crun",
	"check_postfix_queue --queue-directory /var/lib/docker/":                        "the same",
	"postfix_queue_emit -f prometheus -m '*,up' --queue-directory /var/lib/docker/": "the same",
}

func runsElsewhere(command string) bool {
	for begin := range elsewhereBegin {
		if strings.HasPrefix(command, begin) {
			return true
		}
	}
	return elsewhere[command] != ""
}

// documentedSystemctl stands in for systemctl, because there is no systemd in the namespaces of the tests. It reads the
// same units. A service is run as its unit says, but for its sandbox: a oneshot service to its end, others until the
// next restart or the end of the test. A timer that is enabled runs nothing yet: its service comes with the next
// minute.
const documentedSystemctl = `#!/bin/bash
set -e
setting() { cat $unit /etc/systemd/system/$(basename $unit).d/*.conf 2>/dev/null | sed -n "s/^$1=//p" | tail -n 1; }
run() {
	unit=/usr/lib/systemd/system/$1
	[ -e $unit ] || { echo "systemctl: Unit $1 not found." >&2; exit 5; }
	set -a
	for file in $(setting EnvironmentFile); do
		[ ! -e "${file#-}" ] || . "${file#-}"
	done
	eval "export $(setting Environment)"
	set +a
	user=$(setting User) user=${user:-root}
	dir=$(setting RuntimeDirectory)
	if [ -n "$dir" ]; then
		mode=$(setting RuntimeDirectoryMode) group=$(setting Group)
		install -d -m ${mode:-755} -o $user -g ${group:-$user} /run/$dir
	fi
	[ -z "$(setting ExecStartPre)" ] || eval "$(setting ExecStartPre)"
	set -f # systemd expands no *
	eval "set -- $(setting ExecStart | sed 's/ \*,/ \\*,/')"
	set +f
	pid=/run/stand-in-$(basename $unit).pid
	if [ -e $pid ]; then
		kill $(cat $pid) && while kill -0 $(cat $pid) 2>/dev/null; do sleep 0.1; done
	fi
	if [ "$(setting Type)" = oneshot ]; then
		setpriv --reuid $user --regid ${group:-$user} --init-groups -- "$@"
	else
		setpriv --reuid $user --regid ${group:-$user} --init-groups -- "$@" >/run/stand-in.log 2>&1 &
		echo $! >$pid
	fi
}
verb=$1
shift
[ "${1-}" != --now ] || shift
case $verb:${1-} in
enable:*.timer) [ -e /usr/lib/systemd/system/$1 ] ;;
start:* | restart:* | reload:*) run ${1%.service}.service ;;
daemon-reload:) ;;
edit:*) [ -e /usr/lib/systemd/system/$1 ] ;;
*) echo "systemctl: unexpected: $verb $*" >&2; exit 1 ;;
esac
`

// TestDocuments runs every command of README and docs, as a reader does who pastes them into a shell, on a host that
// has the programs installed. Blocks in sh are pasted as root; those in console show what is printed, which is
// compared.
func TestDocuments(t *testing.T) {
	needNetdata(t)
	needNRPE(t)
	for debianPackage, file := range map[string]string{
		"icinga2-bin": "/usr/sbin/icinga2", "zabbix-agent": zabbixProgram,
		"prometheus-node-exporter": "/usr/bin/prometheus-node-exporter", "openssh-server": "/usr/sbin/sshd",
		"curl": "/usr/bin/curl",
	} {
		needFiles(t, debianPackage, file)
	}
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	startDocumentedHost(t)
	unused := make(map[string]bool)
	for command := range elsewhere {
		unused[command] = true
	}
	pages = append(pages, "../README.md")
	ran := 0 // fewer if -run names some
	for _, page := range pages {
		t.Run(filepath.Base(page), func(t *testing.T) {
			ran++
			content := readContrib(t, page)
			blocks := documentedBlocks
			if filepath.Base(page) == "options.md" {
				blocks = manPageExamples
			}
			for _, b := range blocks(t, content) {
				for _, c := range b.commands {
					if runsElsewhere(c.text) {
						delete(unused, c.text)
						continue
					}
					c.run(t, b.language)
				}
			}
		})
	}
	for command := range unused {
		if ran < len(pages) {
			break
		}
		t.Errorf("no document has %q", command)
	}
}

// startDocumentedHost makes this namespace a mail host with deferred mail and everything installed, and starts what the
// documents take for granted. All that is written disappears with the test.
func startDocumentedHost(t *testing.T) {
	t.Helper()
	layers := publicTempDir(t)
	for _, dir := range []string{"/etc", "/usr", "/var", "/root"} {
		upper, work := filepath.Join(layers, dir, "upper"), filepath.Join(layers, dir, "work")
		for _, layer := range []string{upper, work} {
			if err := os.MkdirAll(layer, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		mount(t, "overlay", fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dir, upper, work), dir)
	}
	bind(t, publicTempDir(t), "/run")
	p := startPostfix(t)
	p.waitDeferred(p.send(mail{from: "anna@example.com", to: []string{"bob@example.org"}, sizeBytes: 3000}))
	p.fillQueue(6)

	build := publicTempDir(t)
	install := `set -eu
cd "$REPOSITORY"
umask 022
cp "$1" "$2" $BUILD/
for page in man/*.[18]; do gzip -9nc $page >$BUILD/$(basename $page).gz; done
echo "Notices" >$BUILD/THIRD-PARTY-NOTICES
export DESTDIR= BINDIR=/usr/bin MANDIR=/usr/share/man UNITDIR=/usr/lib/systemd/system PLUGINDIR=` + pluginDir + `
export DOCDIR=/usr/share/doc/postfix-queue-monitor LICENSEDIR=/usr/share/doc/postfix-queue-monitor
export BASHDIR=/usr/share/bash-completion/completions FISHDIR=/usr/share/fish ZSHDIR=/usr/share/zsh
packaging/install.sh install
cat >/usr/bin/systemctl
chmod 755 /usr/bin/systemctl
for name in mx1.example.org mail.example.org statsd.example.com graphite.example.com influxdb.example.com; do
	echo "127.0.0.1 $name" >>/etc/hosts
done
mkdir /run/postfix-queue # of the man pages' examples
mkdir -p /var/backups/postfix
cp -a /var/spool/postfix/active /var/spool/postfix/deferred /var/spool/postfix/hold /var/spool/postfix/incoming \
	/var/spool/postfix/maildrop /var/backups/postfix/
systemctl start prometheus-node-exporter
`
	setUp := command{env: []string{"BUILD=" + build, "REPOSITORY=" + repository(t)}, stdin: documentedSystemctl}
	r := setUp.run(t, "sh", "-c", install, "sh", program(t, "check_postfix_queue"), program(t, emitterProgram))
	if r.exitCode != 0 {
		t.Fatal(r)
	}
	listenForDocuments(t)
	startDocumentedSSHD(t)
	t.Cleanup(func() {
		// Netdata takes a moment to end its plugins.
		runAs(t, "root", "sh", "-c", `kill $(cat /run/stand-in-*.pid); sleep 1; kill -9 $(cat /run/stand-in-*.pid)`)
	})
}

func repository(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// listenForDocuments takes what the documents send to StatsD, Graphite, InfluxDB and telegraf. The real ones are in
// other tests.
func listenForDocuments(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll("/run/telegraf", 0o755); err != nil {
		t.Fatal(err)
	}
	telegraf, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "/run/telegraf/postfix.sock", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { telegraf.Close() })
	if err := os.Chmod("/run/telegraf/postfix.sock", 0o666); err != nil {
		t.Fatal(err)
	}
	newStatsDReceiver(t)
	graphite, err := net.Listen("tcp", "127.0.0.1:2003")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { graphite.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := graphite.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, conn) // a client that breaks off shows in what it prints
			conn.Close()
		}
	}()
	influx, err := net.Listen("tcp", "127.0.0.1:8086")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	server.Listener.Close()
	server.Listener = influx
	server.Start()
	t.Cleanup(server.Close)
}

// startDocumentedSSHD lets root and nagios log in as root, as somebody does who has read docs/remote.md to its
// end: what it tells the reader to write into files is here.
func startDocumentedSSHD(t *testing.T) {
	t.Helper()
	nagios, err := user.Lookup("nagios")
	if err != nil {
		t.Fatal(err)
	}
	const keys = `set -eu
mkdir -p -m 700 /root/.ssh /run/sshd
ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
ssh-keygen -A
for name in mx1.example.org mail.example.org; do
	echo "$name $(cat /etc/ssh/ssh_host_ed25519_key.pub)" >>/etc/ssh/ssh_known_hosts
done
printf 'Host mx1.example.org\n\tUser root\n' >>/etc/ssh/ssh_config
`
	if r := runAs(t, "root", "sh", "-c", keys); r.exitCode != 0 {
		t.Fatal(r)
	}
	startDaemon(t, command{}, "/usr/sbin/sshd", "-D", "-o", "ListenAddress=127.0.0.1", "-o", "StrictModes=no",
		"-o", "AuthorizedKeysFile=.ssh/authorized_keys "+nagios.HomeDir+"/.ssh/id_ed25519.pub")
	waitFor(t, "sshd", func() (bool, any) {
		r := runAs(t, "root", "ssh", "-o", "BatchMode=yes", "mx1.example.org", "true")
		return r.exitCode == 0, r
	})
}

// documentedBlock is a block of commands.
type documentedBlock struct {
	language string // sh or console
	commands []documentedCommand
}

type documentedCommand struct {
	text   string
	output []string // lines, in console
}

var (
	fence = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)\n```$")
	// aCommand is what only a block of commands may have.
	aCommand = regexp.MustCompile(`(?m)^\s*(?:[$#] )?(?:sudo |runuser |REQUIRE=)?` +
		`(?:check_postfix_queue|postfix_queue_emit|systemctl|apt|cp|install|ssh|curl|make|go|git|sed|useradd|promtool|` +
		`icinga2|icingacli|zabbix_get|zabbix_agentd|docker|podman|buildah|kubectl) [^|]*$`)
	inline  = regexp.MustCompile("`((?:check_postfix_queue|postfix_queue_emit) -[^`]+)`")
	comment = regexp.MustCompile(`\s+# .*$|^# .*$`)
)

// documentedBlocks returns the blocks of commands of a page, and the commands in its sentences. It fails the test if
// one is hidden in another block.
func documentedBlocks(t *testing.T, content string) []documentedBlock {
	t.Helper()
	var blocks []documentedBlock
	for _, found := range fence.FindAllStringSubmatch(content, -1) {
		language, text := found[1], found[2]
		switch language {
		case "sh":
			b := documentedBlock{language: language}
			for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
				if line = strings.TrimSpace(comment.ReplaceAllString(strings.TrimSpace(line), "")); line != "" {
					b.commands = append(b.commands, documentedCommand{text: line})
				}
			}
			blocks = append(blocks, b)
		case "console":
			b := documentedBlock{language: language}
			for line := range strings.Lines(text) {
				line = strings.TrimSuffix(line, "\n")
				if command, ok := strings.CutPrefix(line, "$ "); ok {
					b.commands = append(b.commands, documentedCommand{text: command})
				} else if last := len(b.commands) - 1; last >= 0 {
					b.commands[last].output = append(b.commands[last].output, line)
				}
			}
			blocks = append(blocks, b)
		default:
			if hidden := aCommand.FindString(text); hidden != "" {
				t.Errorf("this command is not in a block sh or console: %s", hidden)
			}
		}
	}
	for _, found := range inline.FindAllStringSubmatch(fence.ReplaceAllString(content, ""), -1) {
		text := strings.Join(strings.Fields(found[1]), " ") // it may go over the end of a line
		blocks = append(blocks, documentedBlock{"sh", []documentedCommand{{text: text}}})
	}
	indented := regexp.MustCompile(`(?m)^ {4}.*$`).FindAllString(fence.ReplaceAllString(content, ""), -1)
	if hidden := aCommand.FindString(strings.Join(indented, "\n")); hidden != "" {
		t.Errorf("this command is not in a block sh or console: %s", hidden)
	}
	return blocks
}

// manPageExamples returns the commands of the man pages' sections EXAMPLES.
func manPageExamples(t *testing.T, content string) []documentedBlock {
	t.Helper()
	var b documentedBlock
	sections := regexp.MustCompile(`(?ms)^EXAMPLES\n(.*?)\n[A-Z]`).FindAllStringSubmatch(content, -1)
	for _, section := range sections {
		for line := range strings.Lines(section[1]) {
			if line = strings.TrimSpace(line); line != "" {
				b.commands = append(b.commands, documentedCommand{text: line})
			}
		}
	}
	if len(sections) != 2 {
		t.Errorf("%d sections EXAMPLES, want one of each program", len(sections))
	}
	return []documentedBlock{b}
}

// run runs a command. One that is pasted must succeed, which for a check is any state but UNKNOWN; what asks a service
// that was just started may take its time. For one of a console, the queue is that of a listing, and what is printed is
// compared.
func (c documentedCommand) run(t *testing.T, language string) {
	t.Helper()
	const contrib = "/usr/share/doc/postfix-queue-monitor/contrib"
	script := "set -e; cd " + contrib + "; " + c.text
	if language == "console" && !strings.Contains(c.text, "--queue-directory") {
		script = fmt.Sprintf(`cd %s; for program in check_postfix_queue postfix_queue_emit; do
	eval "$program() { command $program --input testdata/listing/3.7.11/mixed.json --max-age 0 \"\$@\"; }"
done
%s`, repository(t), c.text)
	}
	isCheck := regexp.MustCompile(`\bcheck_(postfix_queue|nrpe)`).MatchString(c.text)
	run := func() (bool, any) {
		r := runAs(t, "root", "bash", "-c", script)
		ok := r.exitCode == 0 || isCheck && r.exitCode > 0 && r.exitCode < 3
		return ok && r.matches(c.output), r
	}
	if !strings.HasPrefix(c.text, "curl") && !isCheck {
		if ok, r := run(); !ok {
			t.Fatalf("%s: %v", c.text, r)
		}
		return
	}
	waitFor(t, c.text, run)
}

// matches reports whether the output has lines like these, one after the other, but for what varies.
func (r result) matches(lines []string) bool {
	rest := r.stdout
	for _, line := range lines {
		at := regexp.MustCompile(`(?m)^` + patternOf(line) + `$`).FindStringIndex(rest)
		if at == nil {
			return false
		}
		rest = rest[at[1]:]
	}
	return true
}
