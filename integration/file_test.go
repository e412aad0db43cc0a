//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// fill writes a file until its file system is full, then frees freeBytes of it.
func fill(t testing.TB, path string, freeBytes int64) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for err == nil {
		_, err = file.Write(make([]byte, 1024))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(info.Size() - freeBytes); err != nil {
		t.Fatal(err)
	}
}

func fileNames(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// TestFullDisk writes to a disk that has room for no new document, or only for a part of one.
func TestFullDisk(t *testing.T) {
	few, many := generateListing(t, 10), generateListing(t, 2000)
	pageBytes := os.Getpagesize()
	for _, format := range []string{"prometheus", "json"} {
		for _, freeBytes := range []int{0, pageBytes} {
			t.Run(fmt.Sprintf("%s, %d bytes free", format, freeBytes), func(t *testing.T) {
				dir := publicTempDir(t)
				mount(t, "tmpfs", "mode=755,size=65536", dir)
				target := filepath.Join(dir, "document")
				write := func(listing string) (r result, document string) {
					t.Helper()
					args := []string{"--format", format, "--to", target, "--input", listing}
					if format == "json" {
						args = append(args, "--breakdown") // it would fit into a page without
					}
					r = root.emit(t, args...)
					content, err := os.ReadFile(target)
					if err != nil {
						t.Fatal(err)
					}
					return r, string(content)
				}
				r, before := write(few)
				if r.exitCode != 0 || len(before) <= pageBytes {
					t.Fatalf("want a document of more than %d bytes, got %s\n%s", pageBytes, r, before)
				}
				fill(t, filepath.Join(dir, "filler"), int64(freeBytes))

				r, after := write(many)
				if r.exitCode != 1 || r.stdout != "" ||
					!strings.HasPrefix(r.stderr, "postfix_queue_emit: cannot write "+target+": ") ||
					!strings.HasSuffix(r.stderr, ": no space left on device\n") {
					t.Errorf("want to be told that the disk is full, got %s", r)
				}
				if diff := cmp.Diff(before, after); diff != "" {
					t.Errorf("the old document is not what it was (-before +after):\n%s", diff)
				}
				if names := fileNames(t, dir); !slices.Equal(names, []string{"document", "filler"}) {
					t.Errorf("the directory has %q", names)
				}

				if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
					t.Fatal(err)
				}
				if r, after := write(many); r.exitCode != 0 || after == before {
					t.Errorf("want a new document on a disk with room, got %s\n%s", r, after)
				}
			})
		}
	}
}

// TestFileIsAlwaysWhole reads a file again and again while the program replaces it.
func TestFileIsAlwaysWhole(t *testing.T) {
	snapshots := []string{queueSnapshot(t, 10), queueSnapshot(t, 2000)}
	for format, args := range map[string][]string{
		"prometheus": {"--metrics", "emails,size,recipients,*_size"}, // ages would change with the time
		"json":       nil,
	} {
		t.Run(format, func(t *testing.T) {
			target := filepath.Join(publicTempDir(t), "document")
			emit := func(snapshot, target string) string {
				t.Helper()
				r := root.emit(t, append(args, "--format", format, "--input", snapshot, "--to", target)...)
				if r.exitCode != 0 || r.stderr != "" {
					t.Fatal(r)
				}
				return r.stdout
			}
			documents := []string{emit(snapshots[0], "-"), emit(snapshots[1], "-")}
			emit(snapshots[0], target)
			reader := startReader(t, target, documents)
			writes := 0
			waitFor(t, "a reader that has seen many of both", func() (bool, any) {
				for _, snapshot := range snapshots {
					emit(snapshot, target)
					writes++
				}
				seen, err := reader.state()
				if err != nil {
					t.Fatal(err)
				}
				return writes >= 50 && slices.Min(seen) >= 50, seen
			})
			seen, _ := reader.state()
			t.Logf("%d writes; readings of each document: %v", writes, seen)
			if names := fileNames(t, filepath.Dir(target)); !slices.Equal(names, []string{"document"}) {
				t.Errorf("the directory has %q", names)
			}
		})
	}
}

// TestPrivateFileHasTheDirectorysGroup writes a snapshot with addresses that only one group may read, as
// docs/snapshot.md shows it.
func TestPrivateFileHasTheDirectorysGroup(t *testing.T) {
	const reader, stranger = "64990", "64991"
	listing := generateListing(t, 10)
	for _, writer := range []string{"root", "nobody"} {
		t.Run(writer, func(t *testing.T) {
			dir := publicTempDir(t)
			group := int(credential(t, reader).Gid)
			if err := os.Chown(dir, int(credential(t, writer).Uid), group); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, 0o750|os.ModeSetgid); err != nil {
				t.Fatal(err)
			}
			target := filepath.Join(dir, "snapshot.json")
			for range 2 { // the second one replaces the first
				r := command{user: writer}.emit(t, "-f", "json", "--breakdown", "--input", listing, "--to", target)
				if r.exitCode != 0 {
					t.Fatal(r)
				}
				var stat unix.Stat_t
				if err := unix.Stat(target, &stat); err != nil || stat.Mode&0o7777 != 0o640 || int(stat.Gid) != group {
					t.Errorf("mode %o, group %d, %v", stat.Mode&0o7777, stat.Gid, err)
				}
			}
			if r := runAs(t, reader, program(t, checkProgram), "-vv", "--input", target); r.exitCode != 0 {
				t.Errorf("want the reader to have it, got %s", r)
			}
			r := runAs(t, stranger, program(t, checkProgram), "--input", target)
			if r.exitCode != 3 || !strings.Contains(r.stdout, "permission denied") {
				t.Errorf("want others to be kept out, got %s", r)
			}
		})
	}
}

// queueSnapshot writes a snapshot of a queue with that number of messages.
func queueSnapshot(t testing.TB, messages int) (path string) {
	t.Helper()
	path = filepath.Join(publicTempDir(t), "snapshot.json")
	if r := root.emit(t, "--format", "json", "--input", generateListing(t, messages), "--to", path); r.exitCode != 0 {
		t.Fatal(r)
	}
	return path
}

// A fileReader reads a file all the time.
type fileReader struct {
	lock sync.Mutex
	seen []int
	err  error
}

// startReader starts a reader of a file, which must be one of the documents at any time. It ends with the test.
func startReader(t testing.TB, path string, documents []string) *fileReader {
	r := &fileReader{seen: make([]int, len(documents))}
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	reading.Go(func() {
		for ctx.Err() == nil {
			content, err := os.ReadFile(path)
			r.note(slices.Index(documents, string(content)), len(content), err)
		}
	})
	t.Cleanup(func() {
		cancel()
		reading.Wait()
	})
	return r
}

// note notes which document was read, -1 for none of them.
func (r *fileReader) note(document, lengthBytes int, err error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	switch {
	case err != nil:
		r.err = err
	case document < 0:
		r.err = fmt.Errorf("%d bytes were read that are neither document", lengthBytes)
	default:
		r.seen[document]++
	}
}

// state returns how often each document was read, and an error if something else was read.
func (r *fileReader) state() (seen []int, err error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	return slices.Clone(r.seen), r.err
}

// Others could lead root to any file by a link on the way to the target.
func TestRootFollowsNoForeignLink(t *testing.T) {
	dir := publicTempDir(t)
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	startPostfix(t)
	for owner, wantCode := range map[int]int{0: 0, 65534: 1} {
		link, file := filepath.Join(dir, fmt.Sprint("link", owner)), filepath.Join(dir, "real", fmt.Sprint(owner))
		if err := errors.Join(os.Symlink("real", link), os.Lchown(link, owner, owner)); err != nil {
			t.Fatal(err)
		}
		r := root.emit(t, "-f", "json", "--to", filepath.Join(link, fmt.Sprint(owner)))
		_, err := os.Stat(file)
		if r.exitCode != wantCode || (err == nil) != (wantCode == 0) {
			t.Errorf("link of %d: %s, %v", owner, r, err)
		}
		if wantCode != 0 && !strings.Contains(r.stderr, "a symbolic link of another user") {
			t.Errorf("link of %d: %s", owner, r)
		}
	}
}
