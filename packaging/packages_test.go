//go:build packages

// Package packaging tests the packages that make release has built.
package packaging

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	name    = "postfix-queue-monitor"
	release = "../build/release"
	docs    = "/usr/share/doc/" + name
)

// kind is what differs between the packages of different systems.
type kind struct {
	suffix    string
	plugins   string // for 64 bits
	plugins32 string
	zsh       string
	read      func(t *testing.T, path string) map[string]file
	licences  []string
	changes   []string
	others    []string          // files that only this kind has
	arches    map[string]string // names of the architectures, by the machine that an ELF file names
	lint      []string          // a command that takes packages
}

// file is an entry of a package that is not a directory.
type file struct {
	mode   string // as ls has it, with the owner
	target string // of a link
	body   []byte
}

var kinds = []kind{
	{
		suffix: ".deb", plugins: "/usr/lib/nagios/plugins", zsh: "/usr/share/zsh/vendor-completions", read: readDeb,
		licences: []string{docs + "/copyright"}, changes: []string{docs + "/changelog.gz", docs + "/changelog.Debian.gz"},
		others: []string{"/usr/share/lintian/overrides/" + name},
		arches: map[string]string{"EM_X86_64": "amd64", "EM_AARCH64": "arm64", "EM_ARM": "armhf", "EM_RISCV": "riscv64"},
		lint:   []string{"lintian", "--allow-root", "--info", "--pedantic", "--fail-on", "error,warning,info,pedantic"},
	},
	{
		suffix: ".rpm", plugins: "/usr/lib64/nagios/plugins", plugins32: "/usr/lib/nagios/plugins",
		zsh: "/usr/share/zsh/site-functions", read: readRPM,
		licences: licenceFiles, changes: []string{docs + "/CHANGELOG.md"},
		arches: map[string]string{"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64", "EM_ARM": "armv7hl", "EM_RISCV": "riscv64"},
		lint:   []string{"rpmlint", "--strict", "--rpmlintrc", "rpmlintrc"},
	},
	{
		suffix: ".apk", plugins: "/usr/lib/monitoring-plugins", zsh: "/usr/share/zsh/site-functions", read: readAPK,
		licences: licenceFiles, changes: []string{docs + "/CHANGELOG.md"},
		arches: map[string]string{"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64", "EM_ARM": "armv7", "EM_RISCV": "riscv64"},
	},
	{
		suffix: ".pkg.tar.zst", plugins: "/usr/lib/monitoring-plugins", zsh: "/usr/share/zsh/site-functions", read: readArch,
		licences: licenceFiles, changes: []string{docs + "/CHANGELOG.md"},
		arches: map[string]string{"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64", "EM_ARM": "armv7h", "EM_RISCV": "riscv64"},
	},
}

var licenceFiles = []string{
	"/usr/share/licenses/" + name + "/LICENSE",
	"/usr/share/licenses/" + name + "/THIRD-PARTY-NOTICES",
}

// TestContents reads each package: it has all that belongs into it and nothing else, with the paths of its system, for
// the architecture in its name.
func TestContents(t *testing.T) {
	version := os.Getenv("VERSION")
	for _, k := range kinds {
		packages := packagesOf(t, k.suffix)
		if want := len(strings.Fields(os.Getenv("ARCHES"))); len(packages) != want || want == 0 {
			t.Errorf("%d packages %s, want %d", len(packages), k.suffix, want)
		}
		for _, path := range packages {
			t.Run(filepath.Base(path), func(t *testing.T) {
				base, _, _ := strings.Cut(version, "-")
				if !strings.Contains(filepath.Base(path), base) {
					t.Errorf("not version %s", version)
				}
				files := k.read(t, path)
				machine := machineOf(t, files["/usr/bin/postfix_queue_emit"].body)
				if !strings.HasSuffix(path, k.arches[machine]+k.suffix) {
					t.Errorf("the name is not that of %s, which the program is for", machine)
				}
				plugins := k.plugins
				if machine == "EM_ARM" && k.plugins32 != "" {
					plugins = k.plugins32
				}
				got := map[string]string{}
				for path, f := range files {
					got[path] = strings.TrimSpace(f.mode + " " + f.target)
				}
				if diff := cmp.Diff(wantFiles(t, k, plugins), got); diff != "" {
					t.Errorf("files (-want +got):\n%s", diff)
				}
				checkPaths(t, files, plugins)
				checkLicences(t, k, files)
			})
		}
	}
}

func wantFiles(t *testing.T, k kind, plugins string) map[string]string {
	const (
		program = "-rwxr-xr-x root/root"
		plain   = "-rw-r--r-- root/root"
		link    = "lrwxrwxrwx root/root"
	)
	want := map[string]string{
		plugins + "/check_postfix_queue":               program,
		"/usr/bin/postfix_queue_emit":                  program,
		"/usr/bin/check_postfix_queue":                 link + " .." + plugins[len("/usr"):] + "/check_postfix_queue",
		"/usr/share/man/man8/check_postfix_queue.8.gz": plain,
		"/usr/share/man/man1/postfix_queue_emit.1.gz":  plain,
		k.zsh + "/_postfix_queue_monitor":              plain,
	}
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md"} { // and CHANGELOG.md, see kind
		want[docs+"/"+name] = plain
	}
	for _, program := range []string{"check_postfix_queue", "postfix_queue_emit"} {
		want["/usr/share/bash-completion/completions/"+program] = plain
		want["/usr/share/fish/vendor_completions.d/"+program+".fish"] = plain
	}
	for _, path := range slices.Concat(k.licences, k.changes, k.others) {
		want[path] = plain
	}
	for _, dir := range []string{"docs", "contrib"} {
		err := filepath.WalkDir("../"+dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && filepath.Ext(path) != ".go" {
				want[docs+strings.TrimPrefix(path, "..")] = plain
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	units, err := filepath.Glob("../contrib/systemd/*")
	if err != nil || len(units) == 0 {
		t.Fatal(units, err)
	}
	for _, unit := range units {
		want["/usr/lib/systemd/system/"+filepath.Base(unit)] = plain
	}
	return want
}

// checkPaths fails if a file names the plugin directory of another system.
func checkPaths(t *testing.T, files map[string]file, plugins string) {
	command := regexp.MustCompile(`/usr/\S*/check_postfix_queue\b`)
	for path, f := range files {
		if !strings.HasPrefix(path, docs+"/contrib") {
			continue
		}
		for _, found := range command.FindAllString(string(f.body), -1) {
			if found != plugins+"/check_postfix_queue" {
				t.Errorf("%s: %s", path, found)
			}
		}
	}
}

// checkLicences fails unless the package has the texts that the licences of what is linked in ask for.
func checkLicences(t *testing.T, k kind, files map[string]file) {
	var texts []byte
	for _, path := range k.licences {
		texts = append(texts, files[path].body...)
	}
	for _, want := range []string{
		"postfix-queue-monitor authors", "The Go programming language",
		"github.com/alexflint/go-arg", "github.com/alexflint/go-scalar",
		"github.com/atc0005/go-nagios", "golang.org/x/sys", "Redistributions in binary form must reproduce",
	} {
		if !bytes.Contains(texts, []byte(want)) {
			t.Errorf("%v have no %q", k.licences, want)
		}
	}
}

// TestArchitectures fails unless make release alone means every architecture: the CI names fewer.
func TestArchitectures(t *testing.T) {
	got := command(t, "..", "env", "-i", "PATH="+os.Getenv("PATH"),
		"make", "--no-print-directory", "--eval", "arches: ; @echo $(ARCHES)", "arches")
	if want := "amd64 arm64 arm7 riscv64\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestRun runs the programs of the packages for this machine.
func TestRun(t *testing.T) {
	for _, k := range kinds {
		for _, path := range packagesOf(t, k.suffix) {
			files := k.read(t, path)
			if machineOf(t, files["/usr/bin/postfix_queue_emit"].body) != machineOf(t, readFile(t, "/proc/self/exe")) {
				continue
			}
			t.Run(k.suffix, func(t *testing.T) {
				for program, want := range map[string]int{k.plugins + "/check_postfix_queue": 3, "/usr/bin/postfix_queue_emit": 0} {
					binary := filepath.Join(t.TempDir(), filepath.Base(program))
					if err := os.WriteFile(binary, files[program].body, 0o755); err != nil {
						t.Fatal(err)
					}
					run := exec.CommandContext(t.Context(), binary, "--version")
					out, err := run.Output()
					if run.ProcessState.ExitCode() != want || !strings.Contains(string(out), os.Getenv("VERSION")) {
						t.Errorf("%s --version: %v, %q", program, err, out)
					}
				}
			})
		}
	}
}

// TestLint asks the linters of the distributions.
func TestLint(t *testing.T) {
	for _, k := range kinds {
		if k.lint == nil {
			continue
		}
		t.Run(k.lint[0], func(t *testing.T) {
			need(t, k.lint[0])
			command(t, "", append(slices.Clone(k.lint), packagesOf(t, k.suffix)...)...)
		})
	}
}

// TestDependencies fails if a package needs or recommends another: a mail server, above all, would drive out the one
// that is there.
func TestDependencies(t *testing.T) {
	const tagsOf = ` "$1" .PKGINFO 2>/dev/null | grep -E "^(depend|conflict|replaces) " || true`
	tests := map[string][]string{ // by the suffix, what prints them
		".deb":         {"dpkg-deb", "-W", "--showformat", "${Pre-Depends}${Depends}${Recommends}${Conflicts}${Breaks}"},
		".rpm":         {"rpm", "-qp", "--qf", "[%{RECOMMENDNAME}][%{CONFLICTNAME}][%{OBSOLETENAME}]"},
		".pkg.tar.zst": {"sh", "-c", "tar --zstd -xOf" + tagsOf, "sh"},
		".apk":         {"sh", "-c", "tar -xzOf" + tagsOf, "sh"},
	}
	for suffix, print := range tests {
		t.Run(suffix, func(t *testing.T) {
			need(t, print[0])
			for _, path := range packagesOf(t, suffix) {
				if found := command(t, "", append(slices.Clone(print), path)...); found != "" {
					t.Errorf("%s: %s", path, found)
				}
			}
		})
	}
}

// TestReproducible builds the packages for one architecture in another clone, with other settings, with nothing in Go's
// caches and, if this is root, as another user, and compares. Only nfpm is not built again: that takes a minute.
func TestReproducible(t *testing.T) {
	const stranger = 12345
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the other user must be able to enter it
		t.Fatal(err)
	}
	clone, nfpm := filepath.Join(dir, "clone"), filepath.Join(dir, "nfpm")
	command(t, "", "git", "clone", "-q", "--no-hardlinks", "..", clone) // it gets another owner
	if diff := command(t, "..", "git", "status", "--porcelain"); diff != "" {
		t.Logf("not of what is committed:\n%s", diff)
	}
	command(t, "..", "go", "build", "-modfile=tools.mod", "-o", nfpm, "github.com/goreleaser/nfpm/v2/cmd/nfpm")

	modules := strings.TrimSpace(command(t, "", "go", "env", "GOMODCACHE"))
	env := append(os.Environ(), "HOME="+dir, "GOCACHE="+dir+"/cache", "GOMODCACHE="+dir+"/modules", "GOFLAGS=-modcacherw")
	fill := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/...", "./packaging/...")
	fill.Dir, fill.Env = clone, append(slices.Clone(env), "GOPROXY=file://"+modules+"/cache/download")
	if out, err := fill.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	build := exec.CommandContext(t.Context(), "sh", "-c",
		`umask 077; exec make package OUT=build/again BUILD=build/again NFPM="$0"`, nfpm)
	build.Dir = clone
	build.Env = append(slices.Clone(env), "GOPROXY=off", "TZ=Asia/Tokyo", "LC_ALL=C.UTF-8", "GOARCH=arm", "GOARM=7")
	if os.Geteuid() == 0 {
		command(t, "", "chown", "-R", strconv.Itoa(stranger), dir)
		build.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	}
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, k := range kinds {
		want := packagesOf(t, k.arches["EM_ARM"]+k.suffix)
		for _, path := range want {
			if !bytes.Equal(readFile(t, path), readFile(t, filepath.Join(clone, "build/again", filepath.Base(path)))) {
				t.Errorf("%s is not the same", filepath.Base(path))
			}
		}
	}
}

// TestPrerelease makes packages of a pre-release: every system must take its version for an older one than 1.0.0. What
// is in them does not matter here.
func TestPrerelease(t *testing.T) {
	build, out := t.TempDir(), t.TempDir()
	for _, file := range []string{
		"check_postfix_queue", "postfix_queue_emit", "check_postfix_queue.8.gz", "postfix_queue_emit.1.gz",
		"THIRD-PARTY-NOTICES", "changelog",
	} {
		if err := os.WriteFile(filepath.Join(build, file), []byte("of no matter\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pack := exec.CommandContext(t.Context(), "./package.sh", "amd64", "deb", "rpm", "apk", "archlinux")
	pack.Env = append(os.Environ(), "VERSION=1.0.0-rc1", "BUILD="+build, "OUT="+out, "SOURCE_DATE_EPOCH=1767225600",
		"NFPM=go tool -modfile=tools.mod nfpm")
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const (
		olderDeb = `dpkg --compare-versions 1.0.0~rc1-1 lt 1.0.0-1 && echo older`
		olderRPM = `rpm --eval '%{lua:print(rpm.vercmp("1.0.0~rc1-1", "1.0.0-1"))}'`
	)
	tests := map[string]struct{ needs, print, want string }{ // by the suffix; print is a shell command
		".deb":         {"dpkg-deb", `dpkg-deb -f "$1" Version && ` + olderDeb, "1.0.0~rc1-1\nolder\n"},
		".rpm":         {"rpm", `rpm -qp --qf '%{EVR}\n' "$1" && ` + olderRPM, "1.0.0~rc1-1\n-1\n"},
		".apk":         {"tar", `tar -xzOf "$1" .PKGINFO 2>/dev/null | grep ^pkgver`, "pkgver = 1.0.0_rc1-r1\n"},
		".pkg.tar.zst": {"zstd", `tar --zstd -xOf "$1" .PKGINFO | grep ^pkgver`, "pkgver = 1.0.0rc1-1\n"},
	}
	for suffix, tt := range tests {
		t.Run(suffix, func(t *testing.T) {
			need(t, tt.needs)
			paths, err := filepath.Glob(out + "/*" + suffix)
			if err != nil || len(paths) != 1 {
				t.Fatal(paths, err)
			}
			if got := command(t, "", "sh", "-c", tt.print, "sh", paths[0]); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestMakeInstall installs what is built without Go, which root often has not in its PATH, and removes it again.
func TestMakeInstall(t *testing.T) {
	root := t.TempDir()
	run := func(target string) {
		install := exec.CommandContext(t.Context(), "make", target, "DESTDIR="+root, "PLUGINDIR=/opt/plugins")
		install.Args = append(install.Args, "BUILD=build/"+runtime.GOARCH)
		install.Dir = ".."
		install.Env = []string{"PATH=" + pathWithout(t, "go")}
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("make %s: %v\n%s", target, err, out)
		}
	}
	left := func() (files []string) {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	run("install")
	want := map[string]string{
		"share/doc/" + name + "/contrib/nrpe/check_postfix_queue.cfg": "]=/opt/plugins/check_postfix_queue -vv",
		"share/doc/" + name + "/contrib/zabbix/postfix_queue.conf":    ",/usr/local/bin/postfix_queue_emit ",
		"lib/systemd/system/postfix-queue-snapshot.service":           "=/usr/local/bin/postfix_queue_emit ",
	}
	for path, text := range want {
		if body := readFile(t, filepath.Join(root, "usr/local", path)); !bytes.Contains(body, []byte(text)) {
			t.Errorf("%s does not have %q", path, text)
		}
	}
	command(t, "", filepath.Join(root, "usr/local/bin/postfix_queue_emit"), "--version")
	target, err := os.Readlink(filepath.Join(root, "usr/local/bin/check_postfix_queue"))
	if err != nil || target != "/opt/plugins/check_postfix_queue" {
		t.Errorf("the check in PATH is %q, %v", target, err)
	}
	run("uninstall")
	if files := left(); files != nil {
		t.Errorf("left after uninstall: %v", files)
	}
}

// pathWithout returns PATH without the directories that have the program.
func pathWithout(t *testing.T, program string) string {
	t.Helper()
	var dirs []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
			dirs = append(dirs, dir)
		}
	}
	return strings.Join(dirs, ":")
}

// TestSums compares the check sums.
func TestSums(t *testing.T) {
	command(t, release, "sha256sum", "--check", "--strict", "SHA256SUMS")
	entries, err := os.ReadDir(release)
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(readFile(t, release+"/SHA256SUMS"), []byte("\n")); lines != len(entries)-1 {
		t.Errorf("%d sums of %d files", lines, len(entries)-1)
	}
}

// TestSBOM fails unless each program has a list of what is linked in, with licences. The tool finds no licence of
// Go's library.
func TestSBOM(t *testing.T) {
	for _, program := range []string{"check_postfix_queue", "postfix_queue_emit"} {
		var sbom struct {
			BOMFormat  string
			Components []struct {
				Name     string
				Evidence struct{ Licenses []any }
			}
		}
		if err := json.Unmarshal(readFile(t, filepath.Join(release, program+".cdx.json")), &sbom); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range sbom.Components {
			got = append(got, c.Name)
			if len(c.Evidence.Licenses) == 0 && c.Name != "std" {
				t.Errorf("%s: no licence of %s", program, c.Name)
			}
		}
		slices.Sort(got)
		want := []string{
			"github.com/alexflint/go-arg", "github.com/alexflint/go-scalar", "github.com/atc0005/go-nagios",
			"golang.org/x/sys", "std",
		}
		if program == "postfix_queue_emit" {
			want = slices.DeleteFunc(want, func(s string) bool { return strings.HasSuffix(s, "go-nagios") })
		}
		if diff := cmp.Diff(want, got); diff != "" || sbom.BOMFormat != "CycloneDX" {
			t.Errorf("%s: %s, components (-want +got):\n%s", program, sbom.BOMFormat, diff)
		}
	}
}

func readDeb(t *testing.T, path string) map[string]file {
	need(t, "dpkg-deb")
	return readTar(t, bytes.NewReader(commandBytes(t, "dpkg-deb", "--fsys-tarfile", path)))
}

func readRPM(t *testing.T, path string) map[string]file {
	need(t, "rpm")
	need(t, "rpm2archive")
	out := commandBytes(t, "sh", "-c", `rpm2archive - <"$1"`, "sh", path)
	zipped, err := gzip.NewReader(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	files := readTar(t, zipped)
	// Owners are in the header alone.
	owners := string(commandBytes(t, "rpm", "-qp", "--qf", `[%{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\n]`, path))
	for line := range strings.Lines(owners) {
		owner, path, _ := strings.Cut(strings.TrimSpace(line), " ")
		if f, ok := files[path]; ok {
			mode, _, _ := strings.Cut(f.mode, " ")
			f.mode = mode + " " + owner
			files[path] = f
		}
	}
	return files
}

func readArch(t *testing.T, path string) map[string]file {
	need(t, "zstd")
	files := readTar(t, bytes.NewReader(commandBytes(t, "zstd", "-dcq", path)))
	for _, meta := range []string{"/.PKGINFO", "/.MTREE"} {
		if len(files[meta].body) == 0 {
			t.Errorf("no %s", meta)
		}
		delete(files, meta)
	}
	return files
}

// readAPK reads the two parts of an apk, each a gzip stream. No apk was ever installed in a test, because Debian has no
// tool for that. So what apk would verify is verified here: the sum of the data.
func readAPK(t *testing.T, path string) map[string]file {
	in := bufio.NewReader(bytes.NewReader(readFile(t, path)))
	var streams [][]byte // unpacked
	var data []byte      // the last one, packed
	for {
		if _, err := in.Peek(1); errors.Is(err, io.EOF) {
			break
		}
		rest, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		packed := bufio.NewReader(bytes.NewReader(rest))
		zipped, err := gzip.NewReader(packed)
		if err != nil {
			t.Fatal(err)
		}
		zipped.Multistream(false)
		stream, err := io.ReadAll(zipped)
		if err != nil {
			t.Fatal(err)
		}
		left, err := io.ReadAll(packed)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, stream)
		data = rest[:len(rest)-len(left)]
		in = bufio.NewReader(bytes.NewReader(left))
	}
	if len(streams) != 2 {
		t.Fatalf("%d streams, want 2: control and data", len(streams))
	}
	info := ""
	// A part but the last has no end of the archive.
	control := tar.NewReader(bytes.NewReader(streams[0]))
	for {
		header, err := control.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if header.Name == ".PKGINFO" {
			body, err := io.ReadAll(control)
			if err != nil {
				t.Fatal(err)
			}
			info = string(body)
		}
	}
	sum := sha256.Sum256(data)
	if want := "\ndatahash = " + hex.EncodeToString(sum[:]) + "\n"; !strings.Contains(info, want) {
		t.Errorf("no %q in .PKGINFO:\n%s", want, info)
	}
	for line := range strings.Lines(info) {
		if !strings.Contains(line, " = ") && !strings.HasPrefix(line, "#") {
			t.Errorf(".PKGINFO: %q", line)
		}
	}
	return readTar(t, bytes.NewReader(streams[1]))
}

func readTar(t *testing.T, in io.Reader) map[string]file {
	files := map[string]file{}
	archive := tar.NewReader(in)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeDir {
			continue
		}
		body, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		mode := header.FileInfo().Mode()
		text := mode.String()
		if mode&fs.ModeSymlink != 0 {
			text = "lrwxrwxrwx" // whatever it says
		}
		owner := func(name string, id int) string {
			if name == "" && id == 0 {
				return "root"
			}
			return name
		}
		path := "/" + strings.TrimPrefix(strings.TrimPrefix(header.Name, "./"), "/")
		files[path] = file{
			mode:   fmt.Sprintf("%s %s/%s", text, owner(header.Uname, header.Uid), owner(header.Gname, header.Gid)),
			target: header.Linkname, body: body,
		}
	}
}

func machineOf(t *testing.T, binary []byte) string {
	t.Helper()
	program, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	return program.Machine.String()
}

func packagesOf(t *testing.T, suffix string) []string {
	t.Helper()
	paths, err := filepath.Glob(release + "/*" + suffix)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no packages %s in %s: run make release first", suffix, release)
	}
	return paths
}

// need leaves the test out if a program is missing, unless none may be left out.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("REQUIRE") == "all" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func command(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), args[0], args[1:]...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func commandBytes(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).Output()
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return out
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}
