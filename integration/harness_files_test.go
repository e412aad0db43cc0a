//go:build integration

package integration

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// publicTempDir is a temporary directory that every user can read.
func publicTempDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ownedDir is a directory of a user.
func ownedDir(t testing.TB, owner string) string {
	t.Helper()
	dir := publicTempDir(t)
	who := credential(t, owner)
	if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// writeConfig writes a file that every user can read, and returns its path.
func writeConfig(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(publicTempDir(t), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// saveListing puts text into a file that every user can read.
func saveListing(t testing.TB, text string) (path string) {
	t.Helper()
	return writeConfig(t, "listing", text)
}

// generateListing writes a listing of n messages as postqueue -j prints it.
func generateListing(t testing.TB, n int) (path string) {
	t.Helper()
	path = saveListing(t, "")
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := bufio.NewWriter(file)
	for i := range n {
		writeMessage(w, i)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return path
}

// generatedSizeBytes is the size of each message of a generated listing.
const generatedSizeBytes = 3000

// writeMessage writes one line of a listing. One message in a thousand has fifty recipients.
func writeMessage(w io.Writer, i int) {
	const recipient = `{"address": "recipient%d@example.org", ` +
		`"delay_reason": "connect to mx.example.org[192.0.2.1]:25: Connection timed out"}`
	recipients := fmt.Sprintf(recipient, 0)
	if i%1000 == 999 {
		for r := range 49 {
			recipients += fmt.Sprintf(", "+recipient, r+1)
		}
	}
	arrival := 1_700_000_000 + i
	queue, id := queueNames[i%len(queueNames)], queueID{seconds: int64(arrival), inode: uint64(i), long: true}
	fmt.Fprintf(w, `{"queue_name": "%s", "queue_id": "%s", "arrival_time": %d, "message_size": %d, `,
		queue, id, arrival, generatedSizeBytes)
	fmt.Fprintf(w, `"forced_expire": false, "sender": "sender%d@example.com", "recipients": [%s]}`+"\n", i, recipients)
}

// readContrib returns a file as it is delivered.
func readContrib(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// contribDir is the directory contrib itself, at a place that every user can get to.
func contribDir(t testing.TB) string {
	t.Helper()
	dir := publicTempDir(t)
	bind(t, "../contrib", dir)
	return dir
}

// bind mounts source over target until the end of the test.
func bind(t testing.TB, source, target string) {
	t.Helper()
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("mount %s over %s: %v", source, target, err)
	}
	t.Cleanup(func() {
		err := unix.Unmount(target, 0)
		if err == nil {
			return
		}
		t.Errorf("unmount %s: %v", target, err)
		// The next test must find the place free all the same.
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Errorf("detach %s: %v", target, err)
		}
	})
}

// mount mounts a file system until the end of the test.
func mount(t testing.TB, kind, options, target string) {
	t.Helper()
	if err := unix.Mount(kind, target, kind, 0, options); err != nil {
		leaveOut(t, fmt.Sprintf("mount %s at %s: %v", kind, target, err))
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", target, err)
		}
	})
}

// needFiles leaves the test out if a file of a Debian package is missing.
func needFiles(t testing.TB, debianPackage string, files ...string) {
	t.Helper()
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			leaveOut(t, fmt.Sprintf("Debian's %s is not installed: %v", debianPackage, err))
		}
	}
}

// installPlugin puts the program under test into the directory of plugins until the end of the test. Of the
// plugins that are installed there, only those that are named remain.
func installPlugin(t testing.TB, others ...string) {
	t.Helper()
	dir := publicTempDir(t)
	files := []string{program(t, filepath.Base(pluginPath))}
	for _, other := range others {
		files = append(files, filepath.Join(pluginDir, other))
	}
	if r := runAs(t, "root", "cp", append(files, dir)...); r.exitCode != 0 {
		t.Fatal(r)
	}
	bind(t, dir, pluginDir)
}

// installEmitter puts the emitter into /usr/bin, where contrib has it, until the end of the test.
func installEmitter(t testing.TB) {
	t.Helper()
	dir := publicTempDir(t)
	if r := runAs(t, "root", "cp", program(t, emitterProgram), dir); r.exitCode != 0 {
		t.Fatal(r)
	}
	// A bind mount needs a file to cover, and this directory must not be written to.
	mount(t, "overlay", "lowerdir="+dir+":/usr/bin", "/usr/bin")
}

// replacePostqueue puts a shell script in postqueue's place until the end of the test. The script has
// no setgid bit and gets the arguments that were meant for postqueue.
func replacePostqueue(t testing.TB, script string) {
	t.Helper()
	standIn := filepath.Join(publicTempDir(t), "postqueue")
	if !strings.HasPrefix(script, "#!") {
		script = "#!/bin/sh\n" + script
	}
	if err := os.WriteFile(standIn, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	bind(t, standIn, postqueueProgram)
}

// hidePostqueue takes postqueue away until the end of the test: links to all other programs of its
// directory are mounted over the directory.
func hidePostqueue(t testing.TB) {
	t.Helper()
	sbin := filepath.Dir(postqueueProgram)
	behind, links := publicTempDir(t), publicTempDir(t)
	entries, err := os.ReadDir(sbin)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() == filepath.Base(postqueueProgram) {
			continue
		}
		// A relative link is valid only in its directory.
		target, err := os.Readlink(filepath.Join(sbin, entry.Name()))
		if err != nil {
			target = filepath.Join(behind, entry.Name())
		}
		if err := os.Symlink(target, filepath.Join(links, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	bind(t, sbin, behind)
	bind(t, links, sbin)
}

// copyPostqueue copies postqueue with its group and its setgid bit.
func copyPostqueue(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(publicTempDir(t), "postqueue")
	if r := root.run(t, "cp", "-p", postqueueProgram, path); r.exitCode != 0 {
		t.Fatal(r)
	}
	return path
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
