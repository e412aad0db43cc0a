//go:build integration

package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// A contender is a way to find out how much mail there is.
type contender struct {
	name string
	run  func(b *testing.B) cost
	peak func(b *testing.B) (bytes int64) // nil: does not say anything
}

// cost is what one run took. CPU time is that of the program and its children, not of showq, which is
// a child of the master.
type cost struct{ wall, cpu time.Duration }

// BenchmarkSources prints a table: every source and what others use, on a queue of N messages (50000) of 3 KB,
// all in turn, with a warm cache and, if the kernel drops it, with a cold one. The queue is in a directory of
// BENCH_DIR (/var/tmp), because the cache of a tmpfs is never cold.
func BenchmarkSources(b *testing.B) {
	emails := 50_000
	if n := os.Getenv("N"); n != "" {
		emails = number(b, n)
	}
	dir := os.Getenv("BENCH_DIR")
	if dir == "" {
		dir = "/var/tmp"
	}
	list := contenders(b)
	b.Setenv("TMPDIR", dir) // for the files of Postfix
	p := startPostfix(b)
	empty := compare(b, list, 15, nil)
	p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}, sizeBytes: 3000}))
	p.fillQueue(emails - 1)

	warmRounds, coldRounds := 7, 3
	if emails > 100_000 {
		warmRounds, coldRounds = 3, 1 // of many minutes
	}
	for b.Loop() {
		warm := compare(b, list, warmRounds, nil)
		cold := map[string][]cost{}
		if err := dropCaches(); err != nil {
			b.Logf("left out: a cold cache (%v)", err)
		} else {
			cold = compare(b, list, coldRounds, dropCaches)
		}
		peaks := map[string]int64{}
		for _, c := range list {
			if c.peak != nil {
				peaks[c.name] = c.peak(b)
			}
		}
		fmt.Println(table(emails, list, empty, warm, cold, peaks))
	}
	b.ReportMetric(0, "ns/op") // the table says it
}

func contenders(b *testing.B) []contender {
	check := program(b, checkProgram)
	list := []contender{
		programContender("postqueue -p", postqueueProgram, "-p"),
		programContender("postqueue -j", postqueueProgram, "-j"),
		programContender("find | wc -l",
			"sh", "-c", "cd "+spoolDir+" && find active deferred hold incoming -type f | wc -l"),
		{name: "open, fstat, pread, close", run: minimalLoop},
		programContender("check --source spool", check, "--source", "spool", "-t", "1000"),
		programContender("check --source showq", check, "--source", "showq", "-t", "1000"),
		programContender("check --source postqueue", check, "--source", "postqueue", "-t", "1000"),
	}
	const mailq = "/usr/lib/nagios/plugins/check_mailq"
	if _, err := os.Stat(mailq); err == nil {
		list = append(list, programContender("check_mailq",
			mailq, "-M", "postfix", "-w", "10000000", "-c", "20000000", "-t", "1000"))
	}
	return list
}

func programContender(name, path string, args ...string) contender {
	return contender{
		name: name,
		run:  runOnce(path, args...),
		peak: func(b *testing.B) int64 {
			_, bytes := measurePeak(b, path, args...)
			return bytes
		},
	}
}

// runOnce runs a program once, as root.
func runOnce(program string, args ...string) func(*testing.B) cost {
	return func(b *testing.B) cost {
		b.Helper()
		cmd := exec.Command(program, args...)
		cmd.Dir = "/"
		cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
		start := time.Now()
		err := cmd.Run()
		wall := time.Since(start)
		if err != nil {
			b.Fatalf("%s: %v", cmd, err)
		}
		return cost{wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	}
}

// minimalLoop is the least that a reader of the spool can do: with the flags, the workers and the reads
// of the source spool, but without a look at what it reads.
func minimalLoop(b *testing.B) cost {
	b.Helper()
	return loopOver(b, "maildrop", "active", "incoming", "deferred", "hold")
}

// minimalLoopOverBoth is that for the queue files and the defer logs.
func minimalLoopOverBoth(b *testing.B) cost {
	b.Helper()
	return loopOver(b, "maildrop", "active", "incoming", "deferred", "hold", "defer")
}

func loopOver(b *testing.B, directories ...string) cost {
	b.Helper()
	start := time.Now()
	paths := make(chan string, 1024)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			buf := make([]byte, 4096)
			for path := range paths {
				const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOATIME
				fd, err := unix.Open(path, flags, 0)
				if err != nil {
					b.Error(err)
					continue
				}
				var stat unix.Stat_t
				_ = unix.Fstat(fd, &stat)
				_, _ = unix.Pread(fd, buf, 0)
				unix.Close(fd)
			}
		})
	}
	for _, queue := range directories {
		err := filepath.WalkDir(filepath.Join(spoolDir, queue), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				paths <- path
			}
			return err
		})
		if err != nil {
			b.Error(err)
		}
	}
	close(paths)
	wg.Wait()
	return cost{wall: time.Since(start)}
}

// compare runs the contenders in turn, so that all of them suffer from what else the machine does.
func compare(b *testing.B, contenders []contender, rounds int, before func() error) map[string][]cost {
	b.Helper()
	costs := map[string][]cost{}
	for round := range rounds + 1 {
		for _, c := range contenders {
			if before != nil {
				if err := before(); err != nil {
					b.Fatal(err)
				}
			}
			if spent := c.run(b); round > 0 || before != nil { // the first round warms up
				costs[c.name] = append(costs[c.name], spent)
			}
		}
	}
	return costs
}

func dropCaches() error {
	unix.Sync()
	f, err := os.OpenFile("/proc/sys/vm/drop_caches", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("3")
	return errors.Join(err, f.Close())
}

func table(emails int, contenders []contender, empty, warm, cold map[string][]cost, peaks map[string]int64) string {
	var text strings.Builder
	fmt.Fprintf(&text, "\n%d messages; medians; the ratio is that of the medians to postqueue -p\n\n", emails)
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tempty, ms\tratio\twarm, ms\tratio\tCPU, ms\tpeak, MiB\tcold, ms\tratio\t")
	for _, c := range contenders {
		fmt.Fprintf(w, "%s\t%s\t%s\t", c.name, wallAndRatio(empty, c.name), wallAndRatio(warm, c.name))
		cpu := milliseconds(warm[c.name], func(c cost) time.Duration { return c.cpu })
		fmt.Fprintf(w, "%.0f\t%.1f\t", cpu, float64(peaks[c.name])/(1<<20))
		fmt.Fprintf(w, "%s\t\n", wallAndRatio(cold, c.name))
	}
	w.Flush()
	return text.String()
}

func wallAndRatio(costs map[string][]cost, name string) string {
	if len(costs) == 0 {
		return "-\t-"
	}
	wall := func(c cost) time.Duration { return c.wall }
	mine := milliseconds(costs[name], wall)
	if len(costs["postqueue -p"]) == 0 { // it was not among those chosen
		return fmt.Sprintf("%.1f\t-", mine)
	}
	return fmt.Sprintf("%.1f\t%.2f", mine, mine/milliseconds(costs["postqueue -p"], wall))
}

func milliseconds(costs []cost, of func(cost) time.Duration) float64 {
	var list []float64
	for _, c := range costs {
		list = append(list, of(c).Seconds()*1000)
	}
	return median(list)
}
