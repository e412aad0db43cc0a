//go:build integration

package integration

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// A lab is a Postfix with name servers and mail servers around it, in which mail gets stuck as it does out there.
type lab struct {
	*postfixInstance
	dns *dnsServer
}

// startLab starts a Postfix that finds its way by the lab's name server.
func startLab(t *testing.T, settings ...string) *lab {
	t.Helper()
	dns := newDNSServer(t)
	p := newPostfix(t, append([]string{
		"defer_transports=", "smtpd_authorized_xclient_hosts=127.0.0.0/8", "mynetworks=0.0.0.0/0", "smtp_connect_timeout=3s",
		"smtp_helo_timeout=3s", "smtp_dns_support_level=enabled", "smtp_host_lookup=dns", "ignore_mx_lookup_error=no",
		"smtpd_recipient_limit=10000", "soft_bounce=yes", "smtp_tls_security_level=none",
	}, settings...)...)
	p.must(runAs(t, "root", "postconf", "-F", "*/*/chroot=n")) // in a chroot resolv.conf is another file
	p.settle(configDir)
	p.start()
	return &lab{p, dns}
}

// sendAll sends mails, some at the same time.
func (l *lab) sendAll(mails []mail) {
	l.t.Helper()
	const atOnce = 8
	next := make(chan mail)
	errs := make([]error, atOnce)
	var sending sync.WaitGroup
	for i := range atOnce {
		sending.Go(func() {
			for m := range next {
				if _, err := smtpSend(m); err != nil {
					errs[i] = fmt.Errorf("send %q to %d recipients: %w", m.from, len(m.to), err)
				}
			}
		})
	}
	for _, m := range mails {
		next <- m
	}
	close(next)
	sending.Wait()
	for _, err := range errs {
		if err != nil {
			l.t.Fatal(err)
		}
	}
}

// mails returns n mails to one recipient each, made by their numbers.
func mails(n int, numbered func(i int) mail) []mail {
	list := make([]mail, n)
	for i := range list {
		list[i] = numbered(i)
	}
	return list
}

// defers sends mails and waits until all of them are deferred.
func (l *lab) defers(mails []mail) {
	l.t.Helper()
	before := len(l.list().in("deferred"))
	l.sendAll(mails)
	l.waitQueue(func(listed listing) bool { return len(listed.in("deferred")) == before+len(mails) })
}

// arrivalRecord matches the arrival time in a queue file, in seconds since 1970.
var arrivalRecord = regexp.MustCompile(`T.(\d{10}) |create_time=(\d{10})`)

// moveArrivals makes the messages of a queue as old as they would be after a time; before it, if that is negative.
func (l *lab) moveArrivals(queue string, by time.Duration) {
	l.t.Helper()
	err := filepath.WalkDir(filepath.Join(spoolDir, queue), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		moved := arrivalRecord.ReplaceAllFunc(content, func(found []byte) []byte {
			digits := regexp.MustCompile(`\d{10}`).Find(found)
			seconds, _ := strconv.ParseInt(string(digits), 10, 64)
			return bytes.Replace(found, digits, []byte(fmt.Sprint(seconds-int64(by/time.Second))), 1)
		})
		if err := os.WriteFile(path, moved, info.Mode()); err != nil {
			return err
		}
		return os.Chtimes(path, info.ModTime(), info.ModTime())
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// A dnsServer answers for the domains of a lab. What it does not know does not exist.
type dnsServer struct {
	conn    net.PacketConn
	serving sync.WaitGroup

	mu     sync.Mutex
	mx     map[string][]string // by domain, or by .suffix: hosts, the best first
	a      map[string]string   // by host: IPv4 address
	broken bool                // it answers that it failed
}

// newDNSServer starts a name server, and makes it the one that programs ask, until the end of the test.
func newDNSServer(t testing.TB) *dnsServer {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.53:53")
	if err != nil {
		t.Fatal(err)
	}
	d := &dnsServer{conn: conn, mx: map[string][]string{}, a: map[string]string{}}
	d.serving.Go(d.serve)
	t.Cleanup(func() { conn.Close(); d.serving.Wait() })
	resolver := filepath.Join(publicTempDir(t), "resolv.conf")
	const text = "nameserver 127.0.0.53\noptions timeout:1 attempts:1\n"
	if err := os.WriteFile(resolver, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	bind(t, resolver, "/etc/resolv.conf")
	return d
}

// mail makes a host with an address the mail server of a domain, or of all below it if that begins with a dot.
func (d *dnsServer) mail(domain string, hostsAndAddresses ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mx[domain] = nil
	for i := 0; i < len(hostsAndAddresses); i += 2 {
		host, address := hostsAndAddresses[i], hostsAndAddresses[i+1]
		d.mx[domain] = append(d.mx[domain], host)
		d.a[host] = address
	}
}

func (d *dnsServer) fail() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = true
}

func (d *dnsServer) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := d.conn.ReadFrom(buf)
		if err != nil {
			return // closed
		}
		var question dnsmessage.Message
		if question.Unpack(buf[:n]) != nil || len(question.Questions) != 1 {
			continue
		}
		answer := d.answer(question)
		if packed, err := answer.Pack(); err == nil {
			_, _ = d.conn.WriteTo(packed, from)
		}
	}
}

func (d *dnsServer) answer(m dnsmessage.Message) dnsmessage.Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := m.Questions[0]
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	hosts, hasMX := d.mx[name]
	for suffix, list := range d.mx {
		if suffix[0] == '.' && strings.HasSuffix(name, suffix) {
			hosts, hasMX = list, true
		}
	}
	address, isHost := d.a[name]
	header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: dnsmessage.ClassINET, TTL: 1}
	switch {
	case d.broken:
		m.RCode = dnsmessage.RCodeServerFailure
	case q.Type == dnsmessage.TypeMX && hasMX:
		for i, host := range hosts {
			mx := &dnsmessage.MXResource{Pref: uint16(i), MX: dnsmessage.MustNewName(host + ".")}
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: mx})
		}
	case q.Type == dnsmessage.TypeA && isHost:
		a := &dnsmessage.AResource{A: [4]byte(net.ParseIP(address).To4())}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: a})
	case !hasMX && !isHost:
		m.RCode = dnsmessage.RCodeNameError
	}
	return m
}

// selfSigned returns a configuration with a certificate that nobody has signed.
func selfSigned(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"other.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
