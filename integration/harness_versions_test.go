//go:build integration

package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// rootVariable is for stageVersion: the directory that newVersionRoot returned.
const rootVariable = "POSTFIX_QUEUE_TEST_ROOT"

// newVersionRoot makes a directory with the Postfix of a Debian release, for stageVersion. Of that release it has
// no more than Postfix and the libraries that this machine has not, or not as new. All of it is below TMPDIR, which
// is a tmpfs.
func newVersionRoot(t *testing.T, suite string) (dir string, err error) {
	t.Helper()
	dir = publicTempDir(t)
	files := filepath.Join(dir, "files")
	for _, name := range []string{"files/programs", "upper", "work", "root"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return "", err
		}
	}
	packages, err := downloadPostfix(t, suite)
	if err != nil {
		return "", err
	}
	for _, path := range packages {
		if output, err := exec.Command("dpkg", "-x", path, files).CombinedOutput(); err != nil {
			return "", fmt.Errorf("unpack %s: %w, %s", filepath.Base(path), err, output)
		}
	}
	if err := mergeUsr(files); err != nil {
		return "", err
	}
	return dir, configure(files)
}

// mergeUsr moves directories below usr that are links to there on this machine.
func mergeUsr(files string) error {
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		old, merged := filepath.Join(files, name), filepath.Join(files, "usr", name)
		if _, err := os.Readlink("/" + name); err != nil {
			continue
		}
		if _, err := os.Stat(old); errors.Is(err, os.ErrNotExist) {
			continue
		}
		script := `mkdir -p "$2" && cp -al "$1/." "$2" && rm -r "$1"`
		if output, err := exec.Command("sh", "-c", script, "sh", old, merged).CombinedOutput(); err != nil {
			return fmt.Errorf("move %s to usr: %w, %s", name, err, output)
		}
	}
	return nil
}

// configure does for a Postfix that was only unpacked what its package does when it is installed.
func configure(files string) error {
	group, err := user.LookupGroup("postdrop")
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(group.Gid)
	if err != nil {
		return err
	}
	for _, name := range []string{"postqueue", "postdrop"} {
		path := filepath.Join(files, "usr/sbin", name)
		if err := errors.Join(os.Chown(path, 0, gid), unix.Chmod(path, 0o2555)); err != nil {
			return err
		}
	}
	etc, share := filepath.Join(files, configDir), filepath.Join(files, "usr/share/postfix")
	if err := os.MkdirAll(etc, 0o755); err != nil {
		return err
	}
	for _, place := range []struct{ from, to string }{
		{share + "/master.cf.dist", etc + "/master.cf.proto"}, // before 3.7
		{share + "/main.cf.proto", etc + "/main.cf.proto"},
		{share + "/postfix-files", etc + "/postfix-files"},
		{share + "/dynamicmaps.cf", etc + "/dynamicmaps.cf"},
		{etc + "/master.cf.proto", etc + "/master.cf"},
	} {
		content, err := os.ReadFile(place.from)
		if errors.Is(err, os.ErrNotExist) && place.to != etc+"/master.cf" {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(place.to, content, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(etc+"/main.cf", nil, 0o644)
}

// versionStage is stageInit on a root file system that is this machine's with the files of newVersionRoot over it.
func versionStage() int {
	if err := enterVersionRoot(os.Getenv(rootVariable)); err != nil {
		return fail(err)
	}
	if err := findPostfix(); err != nil {
		return fail(err)
	}
	postconf := exec.Command("/usr/sbin/postconf", "-d", "mail_version")
	postconf.Stdout, postconf.Stderr = os.Stdout, os.Stderr
	if err := postconf.Run(); err != nil {
		return fail(fmt.Errorf("postconf: %w", err))
	}
	tests := again(context.Background(), stageTests, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET})
	if err := tests.Start(); err != nil {
		return fail(err)
	}
	return reapUntilEnd(tests)
}

func enterVersionRoot(dir string) error {
	root := filepath.Join(dir, "root")
	// The files lie on a tmpfs: the kernel refuses a layer that lies on another one.
	layers := fmt.Sprintf("lowerdir=%[1]s/files:/,upperdir=%[1]s/upper,workdir=%[1]s/work", dir)
	if err := unix.Mount("overlay", root, "overlay", 0, layers); err != nil {
		return fmt.Errorf("mount an overlay: %w", err)
	}
	for from, to := range map[string]string{"/dev": "/dev", "/sys": "/sys", binDir(): "/programs"} {
		if err := unix.Mount(from, root+to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("mount %s: %w", to, err)
		}
	}
	if err := unix.Chroot(root); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := isolateMounts("/tmp"); err != nil {
		return err
	}
	return os.Symlink("/programs", binDir())
}

// An aptArchive is a Debian release as apt sees it, apart from the packages and settings of this machine.
type aptArchive struct {
	t   *testing.T
	dir string
}

// downloadPostfix downloads the packages that newVersionRoot needs and returns their paths. It tries twice.
func downloadPostfix(t *testing.T, suite string) (paths []string, err error) {
	t.Helper()
	for range 2 {
		a := aptArchive{t, publicTempDir(t)}
		if paths, err = a.downloadPostfix(suite); err == nil {
			return paths, nil
		}
	}
	return nil, err
}

func (a aptArchive) downloadPostfix(suite string) ([]string, error) {
	sources, err := a.sources(suite)
	if err != nil {
		return nil, err
	}
	for name, content := range map[string]string{"sources.list": sources, "status": ""} {
		if err := os.WriteFile(filepath.Join(a.dir, name), []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"lists", "cache", "packages"} {
		if err := os.Mkdir(filepath.Join(a.dir, name), 0o755); err != nil {
			return nil, err
		}
	}
	if _, err := a.run("apt-get", "update"); err != nil {
		return nil, err
	}
	names, err := a.needed("postfix")
	if err != nil {
		return nil, err
	}
	if _, err := a.run("apt-get", append([]string{"download"}, names...)...); err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(a.dir, "packages", "*.deb"))
	if err == nil && len(paths) != len(names) {
		err = fmt.Errorf("%d packages came for %q", len(paths), names)
	}
	var bytes int64
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			bytes += info.Size()
		}
	}
	a.t.Logf("%d MB for %s: %s", bytes/1e6, suite, strings.Join(names, " "))
	return paths, err
}

// run runs a program of apt in the network of the machine, with its settings of the network and nothing else.
func (a aptArchive) run(program string, args ...string) (stdout string, err error) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	command := []string{"--net=/proc/1/ns/net", program, "-q"}
	for _, setting := range []string{
		"Dir::Etc::sourcelist=" + a.dir + "/sources.list",
		"Dir::Etc::sourceparts=/dev/null",
		"Dir::Etc::preferences=/dev/null",
		"Dir::Etc::preferencesparts=/dev/null",
		"Dir::State::lists=" + a.dir + "/lists",
		"Dir::State::status=" + a.dir + "/status",
		"Dir::Cache=" + a.dir + "/cache",
		"APT::Sandbox::User=root", // _apt may not write to this directory
		"APT::Update::Error-Mode=any",
		"Acquire::Check-Valid-Until=false", // nobody renews an old release
		"Acquire::Retries=2",
	} {
		command = append(command, "-o", setting)
	}
	cmd := exec.CommandContext(ctx, "nsenter", append(command, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Dir = filepath.Join(a.dir, "packages")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %q: %w, %s", program, args, err, strings.TrimSpace(stderr.String()))
	}
	return string(output), nil
}

var releaseURI = regexp.MustCompile(`(?m)^'(\S+)/dists/([^/\s]+)/InRelease'`)

// sources returns the content of a sources.list for a release, from the mirror that this machine uses for its own.
func (a aptArchive) sources(suite string) (string, error) {
	listed, err := exec.Command("apt-get", "update", "--print-uris").Output()
	if err != nil {
		return "", fmt.Errorf("apt-get update --print-uris: %w", err)
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	codename := regexp.MustCompile(`(?m)^VERSION_CODENAME=(\w+)$`).FindSubmatch(release)
	if codename == nil {
		return "", errors.New("/etc/os-release has no VERSION_CODENAME")
	}
	mirrors := make(map[string]string)
	for _, m := range releaseURI.FindAllStringSubmatch(string(listed), -1) {
		mirrors[m[2]] = m[1]
	}
	own := string(codename[1])
	if mirrors[own] == "" {
		return "", fmt.Errorf("apt on this machine has no source for its own release, %s", own)
	}
	const line = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg target=Packages] %s %s main\n"
	sources := fmt.Sprintf(line, mirrors[own], suite)
	if security := mirrors[own+"-security"]; security != "" && suite != "sid" {
		sources += fmt.Sprintf(line, security, suite+"-security")
	}
	return sources, nil
}

// needed returns the package and the libraries that it needs, directly or not, and that this machine does not have
// in the version that is asked for.
func (a aptArchive) needed(name string) ([]string, error) {
	installed, err := installedVersions()
	if err != nil {
		return nil, err
	}
	taken := make(map[string]bool)
	for next := []string{name}; len(next) > 0; {
		for _, name := range next {
			taken[name] = true
		}
		stanzas, err := a.run("apt-cache", append([]string{"show", "--no-all-versions"}, next...)...)
		if err != nil {
			return nil, err
		}
		next = nil
		for _, m := range dependsField.FindAllStringSubmatch(stanzas, -1) {
			for dependency := range strings.SplitSeq(m[1], ",") {
				library := missingLibrary(dependency, installed)
				if library != "" && !taken[library] && !slices.Contains(next, library) {
					next = append(next, library)
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(taken)), nil
}

var (
	dependsField = regexp.MustCompile(`(?m)^(?:Pre-)?Depends: (.*)$`)
	dependency   = regexp.MustCompile(`^(lib[a-z0-9.+-]+)(?::\w+)?(?: \((\S+) (\S+)\))?$`)
)

// missingLibrary returns the library to take for a dependency ("libc6 (>= 2.38) | libc6.1"), empty if it is met or
// not about libraries: bookworm's own Postfix needs the same other programs.
func missingLibrary(alternatives string, installed map[string]string) (missing string) {
	for alternative := range strings.SplitSeq(alternatives, "|") {
		m := dependency.FindStringSubmatch(strings.TrimSpace(alternative))
		if m == nil {
			continue
		}
		version := installed[m[1]]
		met := version != ""
		if met && m[2] != "" {
			met = exec.Command("dpkg", "--compare-versions", version, m[2], m[3]).Run() == nil
		}
		if met {
			return ""
		}
		if missing == "" {
			missing = m[1]
		}
	}
	return missing
}

// installedVersions returns the versions of the packages on this machine.
func installedVersions() (map[string]string, error) {
	list, err := exec.Command("dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n").Output()
	if err != nil {
		return nil, fmt.Errorf("dpkg-query: %w", err)
	}
	versions := make(map[string]string)
	for line := range strings.Lines(string(list)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[2] == "installed" {
			versions[fields[0]] = fields[1]
		}
	}
	return versions, nil
}
