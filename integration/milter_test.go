//go:build integration

package integration

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// A milter changes the envelope of every message that it is asked about: Postfix then writes pointers
// into the queue file. It speaks as much of the milter protocol, version 6, as that needs.
type milter struct {
	listener net.Listener
	changes  []milterReply
	wg       sync.WaitGroup
}

type milterReply struct {
	command byte
	data    string
}

// Commands and replies of the milter protocol.
const (
	milterNegotiate    = 'O'
	milterEndOfMessage = 'E'
	milterQuit         = 'Q'
	milterContinue     = 'c'
	milterAddRecipient = '+'
	milterDelRecipient = '-'
	milterChangeSender = 'e'
	milterAddHeader    = 'i'
)

func newMilter(t testing.TB, changes ...milterReply) *milter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &milter{listener: listener, changes: changes}
	m.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			m.wg.Go(func() {
				defer conn.Close()
				m.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		m.wg.Wait()
	})
	return m
}

func (m *milter) address() string { return "inet:" + m.listener.Addr().String() }

func (m *milter) serve(conn net.Conn) {
	for {
		var length uint32
		if binary.Read(conn, binary.BigEndian, &length) != nil {
			return
		}
		packet := make([]byte, length)
		if _, err := io.ReadFull(conn, packet); err != nil || length == 0 {
			return
		}
		switch packet[0] {
		case milterNegotiate:
			// Version 6; may change sender, recipients and headers; wants every step.
			answer := binary.BigEndian.AppendUint32(nil, 6)
			answer = binary.BigEndian.AppendUint32(answer, 0x01|0x04|0x08|0x10|0x40)
			answer = binary.BigEndian.AppendUint32(answer, 0)
			m.reply(conn, milterReply{milterNegotiate, string(answer)})
		case milterQuit:
			return
		case 'D', 'A', 'K': // macros, abort, quit and begin anew: no answer
		case milterEndOfMessage:
			for _, change := range m.changes {
				m.reply(conn, change)
			}
			m.reply(conn, milterReply{milterContinue, ""})
		default:
			m.reply(conn, milterReply{milterContinue, ""})
		}
	}
}

func (m *milter) reply(conn net.Conn, r milterReply) {
	packet := binary.BigEndian.AppendUint32(nil, uint32(1+len(r.data)))
	_, _ = conn.Write(append(append(packet, r.command), r.data...))
}
