package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

type command struct {
	path string
	args []string
}

func (c command) String() string {
	return strings.Join(append([]string{c.path}, c.args...), " ")
}

// environment is what the programs of Postfix get: a fixed language and time zone, and nothing that points them
// elsewhere.
func environment() []string {
	return []string{"LC_ALL=C", "TZ=UTC0", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
}

// reapDelay is how long to wait for the end of a command that was killed.
const reapDelay = 100 * time.Millisecond

// run starts the command, hands its standard output to read, and returns when it has ended. When ctx ends, or
// read fails, it kills the command with its whole process group; no program that holds the output open can delay
// the return. The error is the context's cause, that of read, or an *exec.ExitError, in this order.
func (c command) run(ctx context.Context, read func(io.Reader) error) (stderr string, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	cmd := exec.CommandContext(ctx, c.path, c.args...)
	cmd.Env = environment()
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = reapDelay
	var diagnostics headAndTail
	cmd.Stderr = &diagnostics

	stdout, childEnd, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer stdout.Close()
	cmd.Stdout = childEnd
	err = cmd.Start()
	childEnd.Close()
	if err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() {
		// A time in the past ends a Read that is under way.
		_ = stdout.SetReadDeadline(time.Unix(1, 0))
	})
	defer stop()

	err = read(&pipeReader{r: stdout})
	if err != nil {
		cancel(err)
	}
	// Whatever it has left behind in its group ends with it. Until it has been waited for, no other group can
	// have the same number.
	waitExited(cmd.Process.Pid)
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if waitErr := cmd.Wait(); err == nil && !errors.Is(waitErr, exec.ErrWaitDelay) {
		err = waitErr
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return diagnostics.String(), err
}

// waitExited returns when a child has ended, and leaves it to be waited for.
func waitExited(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// pipeReader reads a pipe in large pieces. A listing comes in pieces of 4 KiB, and waking this process for each
// costs the writer more than the reading does.
type pipeReader struct {
	r       io.Reader
	n       int64 // bytes read
	partial bool  // the last read did not fill its buffer
}

// A short listing is not delayed, and a pause is too short to fill a pipe of 64 KiB.
const (
	pauseFrom = 64 << 10 // bytes
	readPause = time.Millisecond
)

func (g *pipeReader) Read(p []byte) (int, error) {
	if g.partial && g.n >= pauseFrom {
		time.Sleep(readPause)
	}
	n, err := g.r.Read(p)
	g.n += int64(n)
	g.partial = n < len(p)
	return n, err
}

// maxOutput is the most that output takes, in bytes.
const maxOutput = 64 << 10

// output returns the lines that the command prints, without surrounding white space.
func (c command) output(ctx context.Context) ([]string, error) {
	var text strings.Builder
	stderr, err := c.run(ctx, func(r io.Reader) error {
		n, err := io.Copy(&text, io.LimitReader(r, maxOutput+1))
		if n > maxOutput {
			return fmt.Errorf("%s prints more than %d KiB; run it by hand as this user", c, maxOutput>>10)
		}
		return err
	})
	if err != nil {
		return nil, c.failure(stderr, err)
	}
	var lines []string
	for line := range strings.Lines(text.String()) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines, nil
}

func (c command) failure(stderr string, err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return commandFailed(c, exit.Error(), lastLine(stderr))
	}
	return err
}

// commandFailed says that a command failed, with its exit status or signal and what it said.
func commandFailed(c command, result, stderr string) error {
	text := c.String() + ": " + result
	if stderr != "" {
		text += ": " + stderr
	}
	return errors.New(text + "; run it by hand as this user")
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// sbinDirs are the usual directories of Postfix's administration programs.
var sbinDirs = []string{"/usr/sbin", "/usr/local/sbin", "/opt/local/sbin", "/sbin"}

// programs is where Postfix's programs are looked for.
type programs struct {
	dirs   []string
	inPath bool // postconf also in PATH; not as root, whose PATH others may have set
}

// locate returns the absolute path of a program of Postfix: from one of dirs, or from the command_directory that
// postconf prints.
func (p programs) locate(ctx context.Context, program string) (string, error) {
	dirs := p.dirs
	for _, dir := range dirs {
		if path := filepath.Join(dir, program); isExecutable(path) {
			return path, nil
		}
	}
	notFound := func(dirs []string) error {
		return fmt.Errorf("%s not found in %s; install Postfix, or judge a listing of another host with --input",
			program, strings.Join(dirs, ", "))
	}
	if program == "postconf" {
		if path, err := exec.LookPath(program); err == nil && p.inPath {
			return path, nil
		}
		return "", notFound(dirs)
	}
	postconf, err := p.locate(ctx, "postconf")
	if err != nil {
		return "", notFound(dirs)
	}
	values, err := command{postconf, []string{"-h", "command_directory"}}.output(ctx)
	if ctx.Err() != nil {
		return "", err
	}
	if err != nil || len(values) == 0 {
		return "", notFound(dirs)
	}
	dir := values[0]
	if path := filepath.Join(dir, program); filepath.IsAbs(path) && isExecutable(path) {
		return path, nil
	}
	if !slices.Contains(dirs, dir) {
		dirs = append(slices.Clip(dirs), dir)
	}
	return "", notFound(dirs)
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// headAndTail keeps the beginning and the end of what is written to it: one of them says what went wrong.
type headAndTail struct {
	head, tail []byte
}

const keepDiagnostics = 4 << 10 // each

func (b *headAndTail) Write(p []byte) (int, error) {
	n := len(p)
	take := min(n, keepDiagnostics-len(b.head))
	b.head = append(b.head, p[:take]...)
	b.tail = append(b.tail, p[take:]...)
	if excess := len(b.tail) - keepDiagnostics; excess > 0 {
		b.tail = append(b.tail[:0], b.tail[excess:]...)
	}
	return n, nil
}

func (b *headAndTail) String() string {
	return string(b.head) + string(b.tail)
}
