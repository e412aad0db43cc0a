//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const containerDir = "../contrib/container/"

// images are a private store of container images, and the directory that images are unpacked in.
type images struct {
	t   testing.TB
	dir string
}

func newImages(t testing.TB) images {
	t.Helper()
	needFiles(t, "buildah", "/usr/bin/buildah")
	needFiles(t, "umoci", "/usr/bin/umoci")
	needFiles(t, "crun", "/usr/bin/crun")
	needFiles(t, "busybox-static", "/bin/busybox")
	i := images{t, publicTempDir(t)}
	// crun looks there even if it is told to use no control groups, and refuses a mixture of their two versions.
	mount(t, "tmpfs", "", "/sys/fs/cgroup")
	i.t.Cleanup(func() {
		// Images have files that their own mode protects, and so have the layers below them.
		if r := root.run(t, "chmod", "-R", "u+rwX", i.dir); r.exitCode != 0 {
			t.Error(r)
		}
	})
	return i
}

// buildah works on this store.
func (i images) buildah(args ...string) {
	i.t.Helper()
	// The driver overlay does not work on overlayfs and tmpfs.
	store := []string{"--root", i.dir + "/store", "--runroot", i.dir + "/run", "--storage-driver", "vfs"}
	env := command{env: []string{"HOME=" + i.dir, "TMPDIR=" + i.dir, "XDG_RUNTIME_DIR=" + i.dir}}
	r := env.run(i.t, "buildah", append(store, args...)...)
	if r.exitCode != 0 {
		i.t.Fatal(r)
	}
}

// build builds an image from a file of contrib and a directory. Nothing is fetched from a registry.
func (i images) build(name, containerfile, directory string) {
	i.t.Helper()
	file := writeConfig(i.t, containerfile, readContrib(i.t, containerDir+containerfile))
	i.buildah("bud", "--isolation", "chroot", "--pull-never", "--quiet", "-t", name, "-f", file, directory)
}

// A container is an image that is unpacked. Each run is a container of its own.
type container struct {
	images
	bundle string
	config []byte // the image's own
	runs   int
}

// unpack unpacks an image.
func (i images) unpack(name string) *container {
	i.t.Helper()
	layout := fmt.Sprintf("%s/%s.oci", i.dir, filepath.Base(name))
	bundle := fmt.Sprintf("%s/%s.bundle", i.dir, filepath.Base(name))
	i.buildah("push", "--quiet", name, "oci:"+layout+":latest")
	if r := root.run(i.t, "umoci", "unpack", "--image", layout+":latest", bundle); r.exitCode != 0 {
		i.t.Fatal(r)
	}
	return &container{images: i, bundle: bundle, config: []byte(readContrib(i.t, bundle+"/config.json"))}
}

// A containerRun says how a container is run. The rest is as the image and the strictest example of contrib have it: no
// network, no capability, no new privilege, and nothing but the mounts can be written to.
type containerRun struct {
	user   int               // 0: that of the image
	mounts map[string]string // source by destination; with a trailing ":ro" it is read-only
	args   []string          // the command; empty: that of the image
	env    []string
	// hostNetwork shares the network of the test.
	hostNetwork bool
}

// start starts a container.
func (c *container) start(run containerRun) *runningCommand {
	c.t.Helper()
	var config map[string]any
	if err := json.Unmarshal(c.config, &config); err != nil {
		c.t.Fatal(err)
	}
	process := config["process"].(map[string]any)
	process["terminal"] = false
	process["capabilities"] = map[string]any{}
	for _, setting := range run.env {
		process["env"] = append(process["env"].([]any), setting)
	}
	if run.hostNetwork {
		system := config["linux"].(map[string]any)
		isNetwork := func(n any) bool { return n.(map[string]any)["type"] == "network" }
		system["namespaces"] = slices.DeleteFunc(system["namespaces"].([]any), isNetwork)
	}
	if run.user != 0 {
		process["user"] = map[string]any{"uid": run.user, "gid": run.user}
	}
	if run.args != nil {
		process["args"] = run.args
	}
	config["root"].(map[string]any)["readonly"] = true
	mounts := []map[string]any{
		{"destination": "/proc", "type": "proc", "source": "proc"},
		{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "mode=755"}},
	}
	for destination, source := range run.mounts {
		source, readOnly := strings.CutSuffix(source, ":ro")
		options := []string{"bind", "rw"}
		if readOnly {
			options[1] = "ro"
		}
		mounts = append(mounts, map[string]any{
			"destination": destination, "type": "bind", "source": source, "options": options,
		})
	}
	config["mounts"] = mounts
	document, err := json.Marshal(config)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(c.bundle+"/config.json", document, 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.runs++
	args := []string{"--root", c.dir + "/crun", "--cgroup-manager=disabled", "run", "--bundle", c.bundle, c.id()}
	return root.start(c.t, "crun", args...)
}

// id is that of the container that was started last.
func (c *container) id() string { return fmt.Sprintf("%s-%d", filepath.Base(c.bundle), c.runs) }

// killer returns a function that kills the container that was started last, if it still runs.
func (c *container) killer() func() {
	id := c.id()
	return func() { root.run(c.t, "crun", "--root", c.dir+"/crun", "kill", id, "KILL") }
}

func (c *container) run(run containerRun) result {
	c.t.Helper()
	return c.start(run).wait()
}

// programImage builds the image of the two programs.
func (i images) programImage() {
	i.t.Helper()
	dir := publicTempDir(i.t)
	for _, name := range []string{checkProgram, emitterProgram} {
		if r := root.run(i.t, "cp", program(i.t, name), dir); r.exitCode != 0 {
			i.t.Fatal(r)
		}
	}
	i.build("localhost/postfix-queue-monitor", "Containerfile", dir)
}

// spoolOwner is the user that a spool must be read as: the answer of the command that contrib names.
func spoolOwner(t testing.TB, example string) int {
	t.Helper()
	if !strings.Contains(example, "stat -c %u /var/spool/postfix/active") {
		t.Fatal("the example does not say how to find the owner of the queue")
	}
	return number(t, strings.TrimSpace(root.run(t, "stat", "-c", "%u", spoolDir+"/active").stdout))
}

// TestContainer runs the image of the two programs with the spool of a real Postfix mounted, read-only: with its
// sockets, without them, and after Postfix has stopped.
func TestContainer(t *testing.T) {
	i := newImages(t)
	i.programImage()
	c := i.unpack("localhost/postfix-queue-monitor")
	size := int64(0)
	for _, name := range []string{checkProgram, emitterProgram} {
		info, err := os.Stat(c.bundle + "/rootfs/bin/" + name)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	t.Logf("the image holds %d bytes", size)
	if r := c.run(containerRun{}); r.exitCode != 0 || !strings.HasPrefix(r.stdout, "Usage: postfix_queue_emit") {
		t.Errorf("the image's own command: %s", r)
	}

	p := startPostfix(t)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000}))
	p.fillQueue(9)
	p.hold(p.list()[0].ID)
	owner := spoolOwner(t, readContrib(t, containerDir+"compose.yml"))
	mounted := func(user int, source string, args ...string) result {
		return c.run(containerRun{user: user, mounts: map[string]string{"/spool": source + ":ro"}, args: args})
	}

	t.Run("the numbers", func(t *testing.T) {
		var r result
		ran := during(func() {
			r = mounted(owner, spoolDir, emitterProgram, "-f", "statsd", "--queue-directory", "/spool")
		})
		if r.exitCode != 0 || r.stderr != "" {
			t.Fatal(r)
		}
		checkMetrics(t, parseGauges(t, r.stdout), ran, p.list(), queueNames)
		r = mounted(owner, spoolDir, emitterProgram, "-f", "value", "-m", "up", "--queue-directory", "/spool")
		if r.stdout != "1\n" {
			t.Errorf("the sockets show that Postfix runs: want 1, got %s", r)
		}
		r = mounted(owner, spoolDir, checkProgram, "--queue-directory", "/spool", "-v", "-w", "5")
		if a := takeApart(t, r); a.state != "WARNING" || !strings.HasPrefix(a.text, "10 emails (above 5), ") {
			t.Errorf("the check: %s", a)
		}
	})
	t.Run("another user", func(t *testing.T) {
		r := mounted(0, spoolDir, checkProgram, "--queue-directory", "/spool")
		if a := takeApart(t, r); a.state != "UNKNOWN" || !strings.Contains(a.text, "/spool") {
			t.Errorf("want UNKNOWN, got %s", a)
		}
	})
	t.Run("a listing in a pipe", func(t *testing.T) {
		r := root.run(t, "sh", "-c", "postqueue -j >"+i.dir+"/listing")
		if r.exitCode != 0 {
			t.Fatal(r)
		}
		r = c.run(containerRun{
			mounts: map[string]string{"/listing": i.dir + "/listing:ro"},
			args:   []string{emitterProgram, "-f", "value", "-m", "emails", "-i", "/listing"},
		})
		if r.stdout != "10\n" {
			t.Errorf("want 10, got %s", r)
		}
	})

	// Only the queues are there, as in a copy, or if each is a volume.
	queues := publicTempDir(t)
	if r := root.run(t, "cp", "-a", spoolDir+"/.", queues); r.exitCode != 0 {
		t.Fatal(r)
	}
	if err := os.RemoveAll(queues + "/public"); err != nil {
		t.Fatal(err)
	}
	t.Run("without sockets", func(t *testing.T) {
		r := mounted(owner, queues, checkProgram, "--queue-directory", "/spool", "-v")
		const why = "\ncannot see whether Postfix runs: /spool/public/qmgr does not exist; "
		if a := takeApart(t, r); a.state != "OK" || !strings.HasSuffix(a.text, "; cannot see whether Postfix runs") ||
			!strings.Contains(a.stdout, why) || a.perf["emails"] != 10 {
			t.Errorf("want OK and that it cannot be seen, got %s", a)
		}
		r = mounted(owner, queues, emitterProgram, "-f", "prometheus", "--queue-directory", "/spool")
		if r.exitCode != 0 || strings.Contains(r.stdout, "\npostfix_queue_up{") ||
			!strings.Contains(r.stdout, "\npostfix_queue_all_messages{instance_name=\"local\"} 10\n") {
			t.Errorf("want numbers without up, got %s", r)
		}
	})
	t.Run("Postfix stopped", func(t *testing.T) {
		p.stop()
		r := mounted(owner, spoolDir, checkProgram, "--queue-directory", "/spool")
		if a := takeApart(t, r); a.state != "CRITICAL" || !strings.HasPrefix(a.text, mailSystemDown) {
			t.Errorf("want CRITICAL, got %s", a)
		}
	})
}

// words are the words of a YAML list in one line, as contrib has commands.
func words(t testing.TB, content, key, first string) []string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^ *`+key+`: \[(`+first+`\b.*)\]$`).FindAllStringSubmatch(content, -1)
	if len(m) != 1 {
		t.Fatalf("there is not one %s with %s: %q", key, first, m)
	}
	var list []string
	for word := range strings.SplitSeq(m[0][1], ", ") {
		list = append(list, strings.Trim(word, `"`))
	}
	return list
}

// entrypoint is that of the image with the loop.
func entrypoint(t testing.TB) []string {
	t.Helper()
	m := regexp.MustCompile(`ENTRYPOINT (.*)`).FindStringSubmatch(readContrib(t, containerDir+"Containerfile.loop"))
	var list []string
	if err := json.Unmarshal([]byte(m[1]), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestContainerLoop runs the commands of contrib's examples for Compose and Kubernetes in containers: the loop that
// writes a file, and the server that a real Prometheus scrapes it from.
func TestContainerLoop(t *testing.T) {
	needFiles(t, "prometheus", prometheusProgram, promtoolProgram)
	i := newImages(t)
	i.programImage()
	base := publicTempDir(t)
	for _, args := range [][]string{
		{"mkdir", base + "/bin"}, {"cp", "/bin/busybox", base + "/bin/"},
		{"chroot", base, "/bin/busybox", "--install", "/bin"},
	} {
		if r := root.run(t, args[0], args[1:]...); r.exitCode != 0 {
			t.Fatal(r)
		}
	}
	containerfile := writeConfig(t, "Containerfile", "FROM scratch\nCOPY bin /bin\n")
	i.buildah("bud", "--quiet", "-t", "docker.io/library/busybox:stable", "-f", containerfile, base)
	i.build("localhost/postfix-queue-loop", "Containerfile.loop", contribDir(t)+"/container")

	c := i.unpack("localhost/postfix-queue-loop")
	p := startPostfix(t)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000}))
	for file, example := range map[string]struct{ key, dir, file string }{
		"compose.yml":    {"command", "/textfile", "postfix_queue.prom"},
		"kubernetes.yml": {"args", "/metrics", "postfix_queue.txt"},
	} {
		t.Run(file, func(t *testing.T) {
			content := readContrib(t, containerDir+file)
			written := ownedDir(t, "postfix")
			loop := c.start(containerRun{
				user:   spoolOwner(t, content),
				mounts: map[string]string{"/spool": spoolDir + ":ro", example.dir: written},
				env:    []string{"INTERVAL=1"},
				args:   append(entrypoint(t), words(t, content, example.key, emitterProgram)...),
			})
			defer c.killer()()
			waitMessages := func(want int) {
				t.Helper()
				line := fmt.Sprintf("\npostfix_queue_all_messages{instance_name=\"local\"} %d\n", want)
				waitFor(t, line, func() (bool, any) {
					text, err := os.ReadFile(filepath.Join(written, example.file))
					return strings.Contains(string(text), line), fmt.Sprint(string(text), err)
				})
			}
			before := len(p.list())
			waitMessages(before)
			p.fillQueue(3)
			waitMessages(before + 3)
			if file == "kubernetes.yml" {
				scrapeContainer(t, c, content, written, before+3)
			}
			loop.signal(unix.SIGTERM)
			if r := loop.wait(); r.exitCode != 0 || r.stdout+r.stderr != "" {
				t.Errorf("the loop: %s", r)
			}
		})
	}
}

// scrapeContainer lets Prometheus scrape the server of the example.
func scrapeContainer(t *testing.T, c *container, example, written string, messages int) {
	t.Helper()
	args := words(t, example, "command", "httpd")
	annotation := func(name string) string {
		t.Helper()
		m := regexp.MustCompile(`prometheus\.io/` + name + `: (\S+)`).FindStringSubmatch(example)
		if m == nil {
			t.Fatalf("no annotation %s", name)
		}
		return strings.Trim(m[1], `"`)
	}
	if !slices.Contains(args, annotation("port")) {
		t.Errorf("the port of the annotation is not that of %q", args)
	}
	server := c.start(containerRun{
		user: spoolOwner(t, example), mounts: map[string]string{"/metrics": written + ":ro"}, args: args, hostNetwork: true,
	})
	kill := c.killer()
	defer func() {
		kill() // it is process 1 of the container, and so TERM does not end it
		server.wait()
	}()
	config := writeConfig(t, "prometheus.yml", fmt.Sprintf(`
scrape_configs:
  - job_name: postfix
    scrape_interval: 1s
    metrics_path: %s
    static_configs: [{targets: ["127.0.0.1:%s"]}]
`, annotation("path"), annotation("port")))
	startDaemon(t, command{user: prometheusUser}, prometheusProgram, "--web.listen-address="+prometheusAddress,
		"--config.file="+config, "--storage.tsdb.path="+ownedDir(t, prometheusUser))
	scraper := prometheus{t}
	scraper.awaitQuery("postfix_queue_all_messages", map[string]string{"local": strconv.Itoa(messages)})
	scraper.awaitQuery("postfix_queue_up", map[string]string{"local": "1"})
}
