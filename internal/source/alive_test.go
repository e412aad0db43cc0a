package source

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// Postfix before 2.10 has a FIFO instead of a socket.
func TestQueueManagerWithAFIFO(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "public"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "public", "qmgr")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := (mailSystem{queueDir: dir}).down(t.Context()), "nothing listens on "+path; got != want {
		t.Errorf("without a reader: %q, want %q", got, want)
	}
	reader, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if got := (mailSystem{queueDir: dir}).down(t.Context()); got != "" {
		t.Errorf("with a reader: %q", got)
	}
}

// A socket outlives a master that is killed.
func TestQueueManagerWithASocket(t *testing.T) {
	p := startPostfix(t, "")
	system := mailSystem{queueDir: p.queueDir}
	if got := system.down(t.Context()); got != "" {
		t.Errorf("with a listener: %q", got)
	}
	path := filepath.Join(p.queueDir, "public", "qmgr")
	p.removeServices(t, "qmgr", "showq")
	leaveSocket(t, path)
	if got, want := system.down(t.Context()), "nothing listens on "+path; got != want {
		t.Errorf("without a listener: %q, want %q", got, want)
	}
}

// leaveSocket makes a socket that nothing listens on.
func leaveSocket(t *testing.T, path string) {
	t.Helper()
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
}

// A service that is not there means "down" only if the other one is not there either. A service has the name
// that main.cf has for it.
func TestServices(t *testing.T) {
	const (
		// What postqueue says to an ordinary user, and to root, if it cannot connect to showq.
		toUser = `echo "postqueue: fatal: Queue report unavailable - mail system is down" >&2; exit 69`
		toRoot = `echo "postqueue: warning: Mail system is down -- accessing queue directly" >&2; ` + goodPostqueue

		up      = "up"
		down    = "mail system is down; start it: postfix -c CONFIG start"
		noShowq = "the mail system runs, but nothing listens on QUEUE/public/showq; " +
			"enable showq in master.cf and reload Postfix"
		noSocket = " does not exist); start it: postfix -c CONFIG start"
	)
	tests := []struct {
		name    string
		mainCF  string
		renamed map[string]string
		missing []string
		want    [4]string // spool, showq, postqueue as an ordinary user, postqueue as root
	}{
		{name: "all there", want: [4]string{up, up, noShowq, up}},
		{name: "no queue manager", missing: []string{"qmgr"}, want: [4]string{up, up, down, "down: reason unknown"}},
		{name: "no showq", missing: []string{"showq"}, want: [4]string{up, noShowq, noShowq, up}},
		{
			name:    "neither",
			missing: []string{"qmgr", "showq"},
			want: [4]string{
				"down: QUEUE/public/qmgr does not exist", "mail system is down (QUEUE/public/showq" + noSocket,
				down, "down: reason unknown",
			},
		},
		{
			name:    "other names",
			mainCF:  "queue_service_name = qm\nshowq_service_name = $x\n",
			renamed: map[string]string{"qmgr": "qm", "showq": "sq"},
			want:    [4]string{up, up, strings.Replace(noShowq, "public/showq", "public/sq", 1), up},
		},
		{
			name:    "other names, neither",
			mainCF:  "queue_service_name = qm\nshowq_service_name = $x\n",
			missing: []string{"qmgr", "showq"},
			want: [4]string{
				"down: QUEUE/public/qm does not exist", "mail system is down (QUEUE/public/sq" + noSocket,
				down, "down: reason unknown",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := startPostfix(t, tt.mainCF)
			for from, to := range tt.renamed {
				public := filepath.Join(p.queueDir, "public")
				if err := os.Rename(filepath.Join(public, from), filepath.Join(public, to)); err != nil {
					t.Fatal(err)
				}
			}
			p.removeServices(t, tt.missing...)
			answer := func(source, postqueue string) string {
				programs := install(t, map[string]string{
					"postqueue": postqueue,
					"postconf":  `[ "$3 $4" = "-xh showq_service_name" ] && echo sq`,
				})
				r := ReadAll(t.Context(), Request{
					ConfigDirs: []string{p.configDir}, Source: source, programDirs: []string{programs},
				})[0]
				switch {
				case r.Err != nil:
					return p.places(r.Err.Error())
				case r.Summary.Down != "":
					return "down: " + p.places(r.Summary.Down)
				}
				return up
			}
			got := [4]string{
				answer(SpoolName, ""), answer(ShowqName, ""), answer(PostqueueName, toUser), answer(PostqueueName, toRoot),
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
