package deliver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestDatagrams(t *testing.T) {
	line := func(n int) string { return strings.Repeat("x", n-1) + "\n" }
	tests := []struct {
		name     string
		document string
		want     []int
	}{
		{"nothing", "", nil},
		{"one line", line(10), []int{10}},
		{"exactly one datagram", line(1000) + line(432), []int{1432}},
		{"one byte more", line(1000) + line(433), []int{1000, 433}},
		{"many lines", strings.Repeat(line(100), 30), []int{1400, 1400, 200}},
		{"a line that is too long", line(10) + line(2000) + line(10), []int{10, 2000, 10}},
		{"no newline", strings.Repeat("x", 2000), []int{2000}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []int
			var whole []byte
			for _, d := range Datagrams([]byte(tt.document)) {
				got = append(got, len(d))
				whole = append(whole, d...)
			}
			if len(got) != len(tt.want) || string(whole) != tt.document {
				t.Fatalf("lengths %v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("lengths %v, want %v", got, tt.want)
				}
			}
		})
	}
}

// listenPacket returns a socket of datagrams, and its target.
func listenPacket(t *testing.T, network string) (net.PacketConn, Target) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unixgram" {
		address = filepath.Join(t.TempDir(), "s")
	}
	server, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server, parseTarget(t, network+"://"+server.LocalAddr().String())
}

// listen returns a socket of streams, and its target.
func listen(t *testing.T, network string) (net.Listener, Target) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	server, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server, parseTarget(t, network+"://"+server.Addr().String())
}

func parseTarget(t *testing.T, text string) Target {
	t.Helper()
	target, err := ParseTarget(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestSendDatagrams(t *testing.T) {
	for _, network := range []string{"udp", "unixgram"} {
		t.Run(network, func(t *testing.T) {
			server, target := listenPacket(t, network)
			document := strings.Repeat("postfix_queue.emails:1|g\n", 100)
			if err := target.Send(t.Context(), []byte(document)); err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			buf := make([]byte, 64<<10)
			for got.Len() < len(document) {
				if err := server.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
					t.Fatal(err)
				}
				n, _, err := server.ReadFrom(buf)
				if err != nil {
					t.Fatal(err)
				}
				if n > maxDatagram || buf[n-1] != '\n' {
					t.Errorf("datagram of %d bytes that ends in %q", n, buf[n-1])
				}
				got.Write(buf[:n])
			}
			if got.String() != document {
				t.Errorf("received:\n%s", got.String())
			}
		})
	}
}

func TestSendStream(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			server, target := listen(t, network)
			received := make(chan string, 1)
			go func() {
				conn, err := server.Accept()
				if err != nil {
					received <- err.Error()
					return
				}
				defer conn.Close()
				all, err := io.ReadAll(conn) // ends with the stream alone
				if err != nil {
					all = []byte(err.Error())
				}
				received <- string(all)
			}()
			document := strings.Repeat("postfix_queue.emails 1 1772334000\n", 100)
			if err := target.Send(t.Context(), []byte(document)); err != nil {
				t.Fatal(err)
			}
			if got := <-received; got != document {
				t.Errorf("received:\n%s", got)
			}
		})
	}
}

// On the same host, even a single datagram without a receiver is noticed.
func TestSendNoticesAMissingReceiver(t *testing.T) {
	udp, udpTarget := listenPacket(t, "udp")
	udp.Close()
	tcp, tcpTarget := listen(t, "tcp")
	tcp.Close()
	// Sockets whose programs have ended.
	stream, staleTarget := listen(t, "unix")
	stream.(*net.UnixListener).SetUnlinkOnClose(false)
	stream.Close()
	datagram, staleDatagramTarget := listenPacket(t, "unixgram")
	datagram.Close()
	tests := map[string]struct {
		target Target
		want   error
	}{
		"udp":                     {udpTarget, syscall.ECONNREFUSED},
		"tcp":                     {tcpTarget, syscall.ECONNREFUSED},
		"unix, left behind":       {staleTarget, syscall.ECONNREFUSED},
		"unixgram, left behind":   {staleDatagramTarget, syscall.ECONNREFUSED},
		"unix, not there":         {parseTarget(t, "unix://"+filepath.Join(t.TempDir(), "s")), syscall.ENOENT},
		"unixgram, not there":     {parseTarget(t, "unixgram://"+filepath.Join(t.TempDir(), "s")), syscall.ENOENT},
		"unixgram, of the others": {nil, syscall.EPROTOTYPE},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.target == nil {
				server, _ := listen(t, "unix")
				tt.target = parseTarget(t, "unixgram://"+server.Addr().String())
			}
			err := tt.target.Send(t.Context(), []byte("x:1|g\n"))
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if text := err.Error(); !strings.HasPrefix(text, "cannot send to "+tt.target.String()+": ") ||
				!strings.Contains(text, "; ") || strings.Contains(text, "\n") {
				t.Errorf("error %q", text)
			}
		})
	}
}

// A name may have addresses that the receiver does not listen on, as localhost
// often has.
func TestSendToSeveralAddresses(t *testing.T) {
	server, target := listenPacket(t, "udp")
	listening := server.LocalAddr().String()
	refusing := make([]string, 2)
	for i := range refusing {
		closed, _ := listenPacket(t, "udp")
		closed.Close()
		refusing[i] = closed.LocalAddr().String()
	}
	d := target.(Datagram)
	for name, addresses := range map[string][]string{
		"first":                {listening, refusing[0]},
		"last":                 {refusing[0], refusing[1], listening},
		"after an invalid one": {"127.0.0.1", listening},
	} {
		t.Run(name, func(t *testing.T) {
			if err := d.sendTo(t.Context(), addresses, []byte(name)); err != nil {
				t.Fatal(err)
			}
			if err := server.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			n, _, err := server.ReadFrom(buf)
			if err != nil || string(buf[:n]) != name {
				t.Errorf("received %q, %v", buf[:n], err)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		d := Datagram{"udp", "statsd.example.com:8125"}
		err := d.sendTo(t.Context(), refusing, []byte("x"))
		want := "cannot send to udp://statsd.example.com:8125 (" + refusing[1] +
			"): read: connection refused; is the receiver running?"
		if !errors.Is(err, syscall.ECONNREFUSED) || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	})
}

func TestSendToSeveralAddressesEndsWithItsContext(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	d := Datagram{"udp", "statsd.example.com:8125"}
	err := d.sendTo(ended, []string{"127.0.0.1:1", "127.0.0.2:2"}, []byte("x"))
	if err == nil || !strings.Contains(err.Error(), "(127.0.0.1:1)") {
		t.Errorf("error %v, want one of the first address", err)
	}
}

// halfClosing is a connection that remembers the end of the stream.
type halfClosing struct {
	net.Conn
	ended bool
}

func (c *halfClosing) CloseWrite() error {
	c.ended = true
	return c.Close()
}

// A receiver that reads to the end of the stream need not wait for the end of the
// connection.
func TestStreamEndsBeforeItsConnection(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	go func() { _, _ = io.Copy(io.Discard, server) }()
	conn := &halfClosing{Conn: client}
	_ = writeStream(conn, []byte("x:1|g\n"))
	if !conn.ended {
		t.Error("the stream has no end")
	}
}

func TestAddresses(t *testing.T) {
	tests := []struct {
		target Datagram
		want   string // that is one of them
	}{
		{Datagram{"udp", "192.0.2.1:8125"}, "192.0.2.1:8125"},
		{Datagram{"udp", "[2001:db8::1]:8125"}, "[2001:db8::1]:8125"},
		{Datagram{"udp", "localhost:8125"}, "127.0.0.1:8125"},
		{Datagram{"unixgram", "/run/x"}, "/run/x"},
	}
	for _, tt := range tests {
		if got, err := tt.target.addresses(t.Context()); err != nil || !slices.Contains(got, tt.want) {
			t.Errorf("%s: got %q, %v; want %s", tt.target, got, err, tt.want)
		}
	}
}

func TestSendToNameWithoutAddress(t *testing.T) {
	// There may be no name server that answers in time.
	for name, patience := range map[string]time.Duration{"not found": 100 * time.Millisecond, "not in time": 0} {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(network+" "+name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				target := parseTarget(t, network+"://nosuch.invalid:1")
				err := target.Send(ctx, []byte("x"))
				if err == nil || !strings.HasPrefix(err.Error(), "cannot send to "+target.String()+": lookup nosuch.invalid") ||
					strings.Contains(err.Error(), "the receiver") {
					t.Errorf("error %v", err)
				}
			})
		}
	}
}

// larger than what sockets hold for a receiver that reads nothing.
const larger = 64 << 20

func TestSendToReceiverThatReadsNothing(t *testing.T) {
	document := bytes.Repeat([]byte("x:1|g\n"), larger/6)
	for _, network := range []string{"tcp", "unix", "unixgram"} {
		t.Run(network, func(t *testing.T) {
			var target Target
			if network == "unixgram" {
				_, target = listenPacket(t, network)
			} else {
				_, target = listen(t, network)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			err := target.Send(ctx, document)
			if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.HasSuffix(err.Error(), "does not read") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A document is sent once the system has taken it, even if the receiver reads it later.
func TestSendToReceiverThatIsBusy(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel() // each waits for the receiver to end the connection
			server, target := listen(t, network)
			if err := target.Send(t.Context(), []byte("x:1|g\n")); err != nil {
				t.Fatal(err)
			}
			conn, err := server.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if got, err := io.ReadAll(conn); err != nil || string(got) != "x:1|g\n" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestSendToReceiverThatGoesAway(t *testing.T) {
	document := bytes.Repeat([]byte("x:1|g\n"), larger/6)
	for _, network := range []string{"tcp", "unix"} {
		for name, reads := range map[string]int64{"at once": 0, "midway": 1 << 20} {
			t.Run(network+" "+name, func(t *testing.T) {
				server, target := listen(t, network)
				go func() {
					conn, err := server.Accept()
					if err == nil {
						_, _ = io.CopyN(io.Discard, conn, reads)
						conn.Close()
					}
				}()
				err := target.Send(t.Context(), document)
				if err == nil || !strings.HasSuffix(err.Error(), "; the receiver's log may say why") {
					t.Errorf("error %v", err)
				}
			})
		}
	}
}

// Not every receiver waits for the end of the stream. What it has read has been sent.
func TestSendToReceiverThatEndsFirst(t *testing.T) {
	const document = "x:1|g\n"
	receivers := map[string]func(net.Conn) (string, error){
		"when it has read all": func(conn net.Conn) (string, error) {
			got := make([]byte, len(document))
			_, err := io.ReadFull(conn, got)
			conn.Close()
			return string(got), err
		},
		"its own side, at once": func(conn net.Conn) (string, error) {
			defer conn.Close()
			if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				return "", err
			}
			got, err := io.ReadAll(conn)
			return string(got), err
		},
	}
	for _, network := range []string{"tcp", "unix"} {
		for name, receive := range receivers {
			t.Run(network+" "+name, func(t *testing.T) {
				server, target := listen(t, network)
				var got string
				var receiving sync.WaitGroup
				receiving.Go(func() {
					conn, err := server.Accept()
					if err == nil {
						got, err = receive(conn)
					}
					if err != nil {
						got = err.Error()
					}
				})
				if err := target.Send(t.Context(), []byte(document)); err != nil {
					t.Error(err)
				}
				receiving.Wait()
				if got != document {
					t.Errorf("received %q", got)
				}
			})
		}
	}
}

func TestSendToReceiverThatReadsOneByte(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			server, target := listen(t, network)
			go func() {
				conn, err := server.Accept()
				if err == nil {
					_, _ = io.ReadFull(conn, make([]byte, 1))
					conn.Close()
				}
			}()
			err := target.Send(t.Context(), []byte("x:1|g\n"))
			want := "cannot send to " + target.String() + ": read: connection reset by peer; the receiver's log may say why"
			if err == nil || err.Error() != want {
				t.Errorf("error %v, want %s", err, want)
			}
		})
	}
}

// A short document can be written although the receiver has gone, or goes without
// reading it. It has not been delivered.
func TestLittleToReceiverThatGoesAway(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		for name, before := range map[string]bool{"before": true, "unread": false} {
			t.Run(network+" "+name, func(t *testing.T) {
				server, _ := listen(t, network)
				conn, err := net.Dial(network, server.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				peer, err := server.Accept()
				if err != nil {
					t.Fatal(err)
				}
				if before {
					peer.Close()
				} else {
					go func() {
						_, _ = io.ReadFull(peer, make([]byte, 1))
						peer.Close()
					}()
				}
				err = writeStream(conn, []byte("x:1|g\n"))
				if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("error %v", err)
				}
			})
		}
	}
}

// All of a long document arrives at a receiver that takes its time.
func TestSendManyDatagrams(t *testing.T) {
	conn, target := listenPacket(t, "udp")
	const lines = 6000
	document := strings.Repeat("postfix_queue.deferred_size:35000000|g\n", lines)
	received := make(chan int)
	go func() {
		n, buf := 0, make([]byte, 64<<10)
		for n < lines {
			_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
			size, _, err := conn.ReadFrom(buf)
			if err != nil {
				break
			}
			n += strings.Count(string(buf[:size]), "\n")
			time.Sleep(time.Millisecond)
		}
		received <- n
	}()
	if err := target.Send(t.Context(), []byte(document)); err != nil {
		t.Error(err)
	}
	if n := <-received; n != lines {
		t.Errorf("%d of %d lines arrived", n, lines)
	}
}
