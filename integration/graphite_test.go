//go:build integration

package integration

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const (
	carbonProgram = "/usr/bin/carbon-cache"
	carbonUser    = "_graphite"
	carbonAddress = "127.0.0.1:2003"
)

// A carbon is a running carbon-cache, the receiver and store of Graphite, with an empty store.
type carbon struct {
	t     testing.TB
	store string // the directory of the whisper files
	marks int
}

// startCarbon returns when it listens. It keeps a number for each second.
func startCarbon(t testing.TB) *carbon {
	t.Helper()
	needFiles(t, "graphite-carbon", carbonProgram)
	needFiles(t, "python3-whisper", "/usr/lib/python3/dist-packages/whisper.py")
	dir, config := ownedDir(t, carbonUser), publicTempDir(t)
	// It announces tags to the web application otherwise, and its own numbers come beside those of the test.
	settings := fmt.Sprintf(`[cache]
STORAGE_DIR = %[1]s
LOCAL_DATA_DIR = %[1]s/whisper
LOG_DIR = %[1]s
PID_DIR = %[1]s
CONF_DIR = %[2]s
LINE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
CACHE_QUERY_INTERFACE = 127.0.0.1
MAX_CREATES_PER_MINUTE = inf
ENABLE_TAGS = False
CARBON_METRIC_INTERVAL = 0
`, dir, config)
	for name, content := range map[string]string{
		"carbon.conf":          settings,
		"storage-schemas.conf": "[all]\npattern = .*\nretentions = 1s:1h\n",
	} {
		if err := os.WriteFile(filepath.Join(config, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	startDaemon(t, command{user: carbonUser}, carbonProgram,
		"--config", filepath.Join(config, "carbon.conf"), "--nodaemon", "start")
	c := &carbon{t: t, store: filepath.Join(dir, "whisper")}
	waitFor(t, "carbon", func() (bool, any) { err := c.sendMark(); return err == nil, err })
	return c
}

// readWhisper prints the points of all whisper files below a directory by their paths.
const readWhisper = `
import json, pathlib, sys, whisper
points = {}
for path in pathlib.Path(sys.argv[1]).rglob("*.wsp"):
    (start, end, step), values = whisper.fetch(str(path), 0)
    name = str(path.relative_to(sys.argv[1]))
    points[name] = [[at, value] for at, value in zip(range(start, end, step), values) if value is not None]
json.dump(points, sys.stdout)
`

// stored is what is in the store now, by the path of the file.
func (c *carbon) stored() map[string][]storedPoint {
	c.t.Helper()
	r := runAs(c.t, carbonUser, "/usr/bin/python3", "-c", readWhisper, c.store)
	if r.exitCode != 0 {
		c.t.Fatal(r)
	}
	var files map[string][][2]float64
	if err := json.Unmarshal([]byte(r.stdout), &files); err != nil {
		c.t.Fatalf("%v: %s", err, r)
	}
	stored := make(map[string][]storedPoint)
	for path, numbers := range files {
		for _, n := range numbers {
			stored[path] = append(stored[path], storedPoint{int64(n[0]), int64(n[1])})
		}
	}
	return stored
}

// sendMark sends a metric that only this test uses: the number of marks so far.
func (c *carbon) sendMark() error {
	conn, err := net.Dial("tcp", carbonAddress)
	if err != nil {
		return err
	}
	defer conn.Close()
	c.marks++
	_, err = fmt.Fprintf(conn, "mark %d %d\n", c.marks, time.Now().Unix())
	return err
}

// settled returns the content of the store once everything sent so far is in it. Carbon makes a list of what it
// has received, writes it in any order, and makes the next list. When a mark that was sent during one list has
// been written, that list is done.
func (c *carbon) settled() map[string][]storedPoint {
	c.t.Helper()
	var stored map[string][]storedPoint
	for range 2 {
		if err := c.sendMark(); err != nil {
			c.t.Fatal(err)
		}
		waitFor(c.t, "the mark", func() (bool, any) {
			stored = c.stored()
			marks := stored["mark.wsp"]
			return len(marks) > 0 && marks[len(marks)-1].value == int64(c.marks), marks
		})
	}
	delete(stored, "mark.wsp")
	return stored
}

// dottedFile is the file of a metric whose instance is in its name.
func dottedFile(instance, metric string) string {
	return "postfix_queue/" + instance + "/" + metric + ".wsp"
}

// taggedFile is the file of a metric whose instance is a tag: its name is the hash of the series.
func taggedFile(instance, metric string) string {
	series := fmt.Sprintf("postfix_queue.%s;instance_name=%s;site=berlin", metric, instance)
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(series)))
	return "_tagged/" + hash[:3] + "/" + hash[3:6] + "/" + hash + ".wsp"
}

// TestGraphite stores the numbers of two instances in a real carbon. One of them goes down.
func TestGraphite(t *testing.T) {
	styles := map[string]struct {
		args []string
		file func(instance, metric string) string
	}{
		"dotted": {nil, dottedFile},
		"tagged": {[]string{"--tags", "graphite", "--tag", "site=berlin"}, taggedFile},
	}
	for name, style := range styles {
		t.Run(name, func(t *testing.T) {
			c := startCarbon(t)
			metricStore{
				push: func(t *testing.T) result {
					args := []string{"-a", "--format", "graphite", "--to", "tcp://" + carbonAddress}
					return nobody.emit(t, append(args, style.args...)...)
				},
				failure: 1,
				stored:  c.settled,
				series:  style.file,
			}.verify(t)
		})
	}
}
