//go:build integration

package integration

import (
	"cmp"
	"fmt"
	"net/textproto"
	"strings"
)

// A mail is a message to be sent. Addresses are as between the angle brackets of SMTP, quoted if needed; an
// empty sender is the null sender.
type mail struct {
	from       string
	to         []string
	body       string // without line ends other than \n, and without leading dots
	sizeBytes  int    // the body is filled up to about that size
	login      string // SASL login of the client, passed on by XCLIENT
	client     string // IP address of the client, likewise
	noSMTPUTF8 bool   // send UTF-8 without saying so, as old clients do
}

// content is the message itself, header and body, in lines of \n.
func (m mail) content() string {
	body := m.body
	const filler = "All work and no play makes Jack a dull boy, over and over again.\n"
	if missing := m.sizeBytes - len(body); missing > 0 {
		if body != "" && !strings.HasSuffix(body, "\n") {
			body += "\n"
		}
		body += strings.Repeat(filler, missing/len(filler)+1)[:missing]
	}
	return "Subject: test\n\n" + strings.TrimSuffix(body, "\n") + "\n"
}

// send delivers a mail by SMTP to port 25 and returns its queue ID.
func (p *postfixInstance) send(m mail) string {
	p.t.Helper()
	id, err := smtpSend(m)
	if err != nil {
		p.t.Fatalf("send %q to %q: %v", m.from, m.to, err)
	}
	return id
}

// smtpSend delivers a mail by SMTP to port 25, without net/smtp, which refuses addresses that Postfix accepts.
func smtpSend(m mail) (queueID string, err error) {
	conn, err := textproto.Dial("tcp", "127.0.0.1:25")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, _, err := conn.ReadResponse(220); err != nil {
		return "", err
	}
	from := fmt.Sprintf("MAIL FROM:<%s>", m.from)
	if !m.noSMTPUTF8 && !isASCII(m.from+strings.Join(m.to, "")) {
		from += " SMTPUTF8"
	}
	if m.login != "" || m.client != "" {
		if err := converse(conn, 250, "EHLO proxy.example"); err != nil {
			return "", err
		}
		xclient := "XCLIENT LOGIN=" + cmp.Or(m.login, "[UNAVAILABLE]") + " ADDR=" + cmp.Or(m.client, "[UNAVAILABLE]")
		if err := converse(conn, 220, xclient); err != nil {
			return "", err
		}
	}
	dialogue := []string{"EHLO client.example", from}
	for _, to := range m.to {
		dialogue = append(dialogue, fmt.Sprintf("RCPT TO:<%s>", to))
	}
	for _, line := range dialogue {
		if err := converse(conn, 250, line); err != nil {
			return "", err
		}
	}
	if err := converse(conn, 354, "DATA"); err != nil {
		return "", err
	}
	data := conn.DotWriter()
	if _, err := data.Write([]byte(m.content())); err != nil {
		return "", err
	}
	if err := data.Close(); err != nil {
		return "", err
	}
	_, accepted, err := conn.ReadResponse(250)
	if err != nil {
		return "", err
	}
	_, queueID, ok := strings.Cut(accepted, "queued as ")
	if !ok {
		return "", fmt.Errorf("no queue ID in %q", accepted)
	}
	return strings.TrimSpace(queueID), converse(conn, 221, "QUIT")
}

func converse(conn *textproto.Conn, code int, line string) error {
	if err := conn.PrintfLine("%s", line); err != nil {
		return err
	}
	if _, _, err := conn.ReadResponse(code); err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	return nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// sendmail hands a mail to sendmail(1), which puts it into maildrop, from where pickup takes it while
// Postfix runs.
func (p *postfixInstance) sendmail(m mail) {
	p.t.Helper()
	from := m.from
	if from == "" {
		from = "<>"
	}
	args := append([]string{"-i", "-f", from, "--"}, m.to...)
	p.must(command{stdin: m.content()}.run(p.t, "/usr/sbin/sendmail", args...))
}
