package deliver

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.org/postfix-queue-monitor/internal/scripttest"
)

// more than a pipe holds.
const morePipe = 1 << 20

func TestOutputThatIsRead(t *testing.T) {
	r, w := scripttest.Pipe(t)
	document := bytes.Repeat([]byte("line\n"), morePipe/5)
	written := make(chan error, 1)
	go func() {
		n, err := NewOutput(w, time.Hour).Write(document)
		if err == nil && n != len(document) {
			err = io.ErrShortWrite
		}
		w.Close()
		written <- err
	}()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, document) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

func TestOutputThatIsNotRead(t *testing.T) {
	const want = "not in time; its reader does not read, or the disk hangs"
	_, w := scripttest.Pipe(t)
	output := NewOutput(w, 50*time.Millisecond)
	if _, err := output.Write(make([]byte, morePipe)); err == nil || err.Error() != want {
		t.Errorf("error %v", err)
	}
	// Fifty complaints must not take fifty times as long.
	output.limit = time.Hour
	if _, err := output.Write([]byte("x")); err == nil || err.Error() != want {
		t.Errorf("the second time: error %v", err)
	}
}

func TestOutputThatFails(t *testing.T) {
	broken, w := scripttest.Pipe(t)
	broken.Close()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	_, closed := scripttest.Pipe(t)
	closed.Close()
	for name, tt := range map[string]struct {
		file *os.File
		want error
	}{
		"broken pipe": {w, syscall.EPIPE},
		"full disk":   {full, syscall.ENOSPC},
		"closed":      {closed, os.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			err := Stdout{NewOutput(tt.file, time.Hour)}.Send(t.Context(), []byte("x\n"))
			if !errors.Is(err, tt.want) || err.Error() != "cannot write to standard output: "+tt.want.Error() {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

// The Go runtime opens /dev/null in this way if standard output is closed.
func TestOutputThatWasClosed(t *testing.T) {
	for name, tt := range map[string]struct {
		path string
		flag int
		want bool
	}{
		"closed":        {os.DevNull, os.O_RDWR, true},
		"discarded":     {os.DevNull, os.O_WRONLY, false},
		"other devices": {"/dev/zero", os.O_RDWR, false},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := os.OpenFile(tt.path, tt.flag, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			_, err = NewOutput(f, time.Hour).Write([]byte("x"))
			if got := err != nil; got != tt.want || got && !strings.HasPrefix(err.Error(), "it is closed") {
				t.Errorf("error %v", err)
			}
		})
	}
}
