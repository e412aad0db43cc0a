//go:build integration

package integration

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// What the scripted server can do instead of a reply.
const (
	dropConnection = "(drop)" // close the connection without a word
	hang           = "(hang)" // say nothing until the end of the test
)

// An smtpServer is a mail server that answers as its test says, for a Postfix with its transport() as
// default_transport and an empty defer_transports. It accepts what the test says nothing about.
//
// Replies are sent byte for byte, with the last line end added; one of several lines has "\r\n" and
// "450-" inside. After a reply that starts with 421 the server hangs up.
//
// To Postfix the server is one destination for all domains: after a refused or lost connection it suspends
// delivery for all mail in the active queue, with that reason.
type smtpServer struct {
	listener net.Listener
	done     chan struct{} // closed at the end of the test
	serving  sync.WaitGroup

	mu          sync.Mutex
	greeting    string
	toRecipient map[string]string // by domain, in lower case
	toData      string            // the reply to the end of a message
	tls         *tls.Config       // what it offers; nil: no TLS
	conns       map[net.Conn]bool
	accepted    int
}

// newSMTPServer starts a server. It is gone, with all its goroutines, when the test ends.
func newSMTPServer(t testing.TB) *smtpServer { t.Helper(); return newSMTPServerAt(t, "127.0.0.1:0") }

func newSMTPServerAt(t testing.TB, address string) *smtpServer {
	t.Helper()
	listener, err := net.Listen("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &smtpServer{
		listener:    listener,
		done:        make(chan struct{}),
		greeting:    "220 relay.example ESMTP",
		toRecipient: make(map[string]string),
		conns:       make(map[net.Conn]bool),
	}
	s.serving.Go(s.acceptConnections)
	t.Cleanup(s.close)
	return s
}

// transport is the server as a Postfix transport and next hop.
func (s *smtpServer) transport() string {
	return fmt.Sprintf("smtp:[127.0.0.1]:%d", s.listener.Addr().(*net.TCPAddr).Port)
}

// greet sets what new connections are greeted with.
func (s *smtpServer) greet(reply string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.greeting = reply
}

// answer sets the reply to RCPT for all recipients in a domain.
func (s *smtpServer) answer(domain, reply string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.toRecipient[strings.ToLower(domain)] = reply
}

// offerTLS makes the server offer TLS.
func (s *smtpServer) offerTLS(config *tls.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tls = config
}

// refuseMessages sets the reply to the end of a message.
func (s *smtpServer) refuseMessages(reply string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.toData = reply
}

// messages is the number of messages that were accepted.
func (s *smtpServer) messages() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

func (s *smtpServer) close() {
	close(s.done)
	s.listener.Close()
	s.mu.Lock()
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}

func (s *smtpServer) acceptConnections() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		s.serving.Go(func() {
			defer s.forget(conn)
			s.serve(conn)
		})
		select {
		case <-s.done: // close may have looked at conns before this one was there
			conn.Close()
		default:
		}
	}
}

func (s *smtpServer) forget(conn net.Conn) {
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// serve speaks just enough SMTP for Postfix.
func (s *smtpServer) serve(conn net.Conn) {
	s.mu.Lock()
	greeting := s.greeting
	s.mu.Unlock()
	if !s.reply(conn, greeting) {
		return
	}
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		line := lines.Text()
		verb, _, _ := strings.Cut(line, " ")
		reply := "250 2.0.0 Ok"
		switch strings.ToUpper(verb) {
		case "EHLO":
			s.mu.Lock()
			if reply = "250-relay.example\r\n250-8BITMIME\r\n250 SMTPUTF8"; s.tls != nil {
				reply = "250-relay.example\r\n250-STARTTLS\r\n250 SMTPUTF8"
			}
			s.mu.Unlock()
		case "RCPT":
			reply = s.recipientReply(line)
		case "DATA":
			if !s.reply(conn, "354 Go ahead") {
				return
			}
			for lines.Scan() && lines.Text() != "." {
			}
			s.mu.Lock()
			s.accepted++
			reply = cmp.Or(s.toData, reply)
			s.mu.Unlock()
		case "STARTTLS":
			s.mu.Lock()
			config := s.tls
			s.mu.Unlock()
			if config == nil || !s.reply(conn, "220 2.0.0 Go ahead") {
				return
			}
			secured := tls.Server(conn, config)
			if secured.Handshake() != nil {
				return
			}
			conn, lines = secured, bufio.NewScanner(secured)
			continue
		case "QUIT":
			s.reply(conn, "221 2.0.0 Bye")
			return
		}
		if !s.reply(conn, reply) {
			return
		}
	}
}

// recipientReply is the reply to "RCPT TO:<local@domain> ...".
func (s *smtpServer) recipientReply(line string) string {
	_, address, _ := strings.Cut(line, "<")
	address, _, _ = cutLast(address, ">")
	_, domain, _ := cutLast(address, "@")
	s.mu.Lock()
	defer s.mu.Unlock()
	if reply, ok := s.toRecipient[strings.ToLower(domain)]; ok {
		return reply
	}
	return "250 2.1.5 Ok"
}

// reply sends a reply and reports whether the connection goes on.
func (s *smtpServer) reply(conn net.Conn, reply string) bool {
	switch reply {
	case dropConnection:
		return false
	case hang:
		<-s.done
		return false
	}
	_, err := io.WriteString(conn, reply+"\r\n")
	return err == nil && !strings.HasPrefix(reply, "421")
}
