package deliver

import (
	"bytes"
	"context"
	"net"
	"time"
)

// maxDatagram is the size limit of a datagram, in bytes: what fits into an Ethernet frame with the longest
// headers.
const maxDatagram = 1432

// refusalWait is how long to wait for an ICMP refusal of the last datagram. On the same host it is there at once.
const refusalWait = 5 * time.Millisecond

// Datagram is a receiver of datagrams: its network, udp or unixgram, and its address, HOST:PORT or the path of a
// socket.
type Datagram struct{ network, address string }

func (d Datagram) String() string { return d.network + "://" + d.address }

// Send sends whole lines, in as few datagrams as possible, to the first of the host's addresses that does not
// refuse them.
func (d Datagram) Send(ctx context.Context, document []byte) error {
	addresses, err := d.addresses(ctx)
	if err != nil {
		return cannotSend(d, "", err)
	}
	return d.sendTo(ctx, addresses, document)
}

// addresses returns all addresses of the host. A dialer would take the first: without a connection, dialing never
// fails.
func (d Datagram) addresses(ctx context.Context) ([]string, error) {
	if d.network != "udp" {
		return []string{d.address}, nil
	}
	host, port, err := net.SplitHostPort(d.address)
	if err != nil {
		return nil, err
	}
	hosts, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, host := range hosts {
		addresses = append(addresses, net.JoinHostPort(host, port))
	}
	return addresses, nil
}

func (d Datagram) sendTo(ctx context.Context, addresses []string, document []byte) error {
	var err error
	for _, address := range addresses {
		err = send(ctx, d.network, address, func(conn net.Conn) error { return d.write(conn, document) })
		if err == nil {
			return nil
		}
		err = cannotSend(d, address, err)
		if ctx.Err() != nil {
			break
		}
	}
	return err
}

// A receiver's buffer holds about a hundred datagrams, and what comes while it is full is lost without a word. So the
// first are sent at once, and the rest more slowly, within a second in all.
const (
	burst     = 32
	pace      = 2 * time.Millisecond // between two datagrams
	paceTotal = time.Second
)

func (d Datagram) write(conn net.Conn, document []byte) error {
	datagrams := Datagrams(document)
	for i, datagram := range datagrams {
		if i >= burst && d.network == "udp" {
			time.Sleep(min(pace, paceTotal/time.Duration(len(datagrams))))
		}
		if _, err := conn.Write(datagram); err != nil {
			return err
		}
	}
	if d.network == "unixgram" {
		return nil // a refusal comes at once
	}
	_, err := awaitClose(conn, refusalWait)
	return err
}

// Datagrams divides a document of lines into as few datagrams as possible. None is larger than 1432 bytes unless
// a single line is, and none has part of a line.
func Datagrams(document []byte) [][]byte {
	var datagrams [][]byte
	for len(document) > 0 {
		end := len(document)
		if end > maxDatagram {
			end = bytes.LastIndexByte(document[:maxDatagram], '\n') + 1
			if end == 0 {
				end = bytes.IndexByte(document, '\n') + 1
			}
			if end == 0 {
				end = len(document)
			}
		}
		datagrams = append(datagrams, document[:end])
		document = document[end:]
	}
	return datagrams
}
