//go:build integration

package integration

import (
	"strings"
	"testing"
)

// Logins and clients are as Postfix has written them, and only those who may read the queue files see them.
func TestLoginsAndClients(t *testing.T) {
	p := startPostfix(t, "smtpd_authorized_xclient_hosts=127.0.0.0/8", "mynetworks=0.0.0.0/0")
	for _, m := range []mail{
		{login: "anna@example.com", client: "192.0.2.23"},
		{login: "anna@example.com", client: "192.0.2.77"},
		{login: "hanna@example.com", client: "192.0.2.23"},
		{},
	} {
		m.from, m.to = "a@example.com", []string{"b@example.org"}
		p.waitDeferred(p.send(m))
	}
	p.sendmail(mail{from: "a@example.com", to: []string{"b@example.org"}})
	p.waitQueue(func(listed listing) bool { return len(listed.in("deferred")) == 5 })
	for args, want := range map[string]int64{
		"--login =anna@example.com": 2,
		"--login anna":              3,
		"--client =192.0.2.23":      2,
		"--client ^127":             1,
		"--login =anna@example.com --client =192.0.2.23": 1,
		"--login ^$":  2,
		"--client ^$": 1,
	} {
		a := root.check(t, strings.Fields(args)...)
		if a.state != "OK" || a.perf["emails"] != want {
			t.Errorf("%s: want %d, got %s", args, want, a)
		}
		a = nobody.check(t, strings.Fields(args)...)
		if a.state != "UNKNOWN" || !strings.Contains(a.text, "only the source spool sees them") {
			t.Errorf("%s for an ordinary user: %s", args, a)
		}
	}
}
