package queue

import (
	"strings"
	"testing"
)

// TestClassify has reasons as Postfix 3.7 writes them.
func TestClassify(t *testing.T) {
	tests := []struct {
		want    Category
		reasons []string
	}{
		{ConnectionRefused, []string{
			"connect to mx.example.com[192.0.2.1]:25: Connection refused",
			"delivery temporarily suspended: connect to mx.example.com[192.0.2.1]:25: Connection refused",
			"connect to tls.danebank.example[192.0.2.1]:25: Connection refused",
			"connect to mail.example.com[/var/run/lmtp]: Connection refused",
		}},
		{ConnectionTimedOut, []string{
			"connect to mx.example.com[192.0.2.1]:25: Connection timed out",
			"connect to mx.example.com[192.0.2.1]:25: Operation timed out",
			"conversation with mx.example.com[192.0.2.1] timed out while receiving the initial server greeting",
			"delivery temporarily suspended: conversation with mx.example.com[192.0.2.1] timed out while sending end of " +
				"data -- message may be sent more than once",
		}},
		{NoRoute, []string{
			"connect to mx.example.com[2001:db8::1]:25: Network is unreachable",
			"connect to mx.example.com[192.0.2.1]:25: No route to host",
			"all network protocols are disabled",
		}},
		{LostConnection, []string{
			"lost connection with mx.example.com[192.0.2.1] while receiving the initial server greeting",
			"lost connection with mx.example.com[192.0.2.1] while sending RCPT TO",
			"host mx.example.com[192.0.2.1] said: 421 4.4.2 mx.example.com Error: timeout exceeded (in reply to end of " +
				"DATA command)",
		}},
		{HostNotFound, []string{
			"Host or domain name not found. Name service error for name=mx.example.com type=A: Host not found, try again",
			"unable to look up host mx.example.com: Temporary failure in name resolution",
			"mx.example.com: host not found",
			"unable to find primary relay for example.com",
		}},
		{TLS, []string{
			"TLS is required, but was not offered by host mx.example.com[192.0.2.1]",
			"TLS is required, but host mx.example.com[192.0.2.1] refused to start TLS: 454 4.7.0 TLS not available due " +
				"to local problem",
			"Cannot start TLS: handshake failure",
			"Server certificate not trusted",
			"Server certificate not verified",
			"TLSA lookup error for mx.example.com:25",
			"client TLS configuration problem",
			"host mx.example.com[192.0.2.1] said: 530 5.7.0 Must issue a STARTTLS command first (in reply to MAIL FROM command)",
		}},
		{RateLimited, []string{
			"host mx.example.com[192.0.2.1] said: 450 4.2.0 <a@example.com>: Recipient address rejected: Greylisted, see " +
				"https://greylist.example (in reply to RCPT TO command)",
			"host mx.example.com[192.0.2.1] said: 451 4.7.1 Greylisting in action, please come back in 00:05:00 (in " +
				"reply to RCPT TO command)",
			"host mx.example.com[192.0.2.1] said: 450 4.7.1 <a@example.com>: Please try again later (in reply to RCPT TO " +
				"command)",
			"host mx.example.com[192.0.2.1] refused to talk to me: 421 mx.example.com Service not available, closing " +
				"transmission channel",
			"host mx.example.com[192.0.2.1] refused to talk to me: 421 4.7.0 mx.example.com Error: too many connections " +
				"from 198.51.100.7",
			"host mx.example.com[192.0.2.1] said: 421-4.7.28 Our system has detected an unusual rate of mail 421 4.7.28 " +
				"from your network (in reply to end of DATA command)",
			"host mx.example.com[192.0.2.1] said: 452 4.5.3 Error: too many recipients (in reply to RCPT TO command)",
			"host mx.example.com[192.0.2.1] said: 450 4.2.1 The user you are trying to contact is receiving mail too " +
				"quickly (in reply to RCPT TO command)",
			"host mx.example.com[192.0.2.1] said: 451 4.4.5 Mail system congestion (in reply to end of DATA command)",
		}},
		{MailboxFull, []string{
			"host mx.example.com[192.0.2.1] said: 452 4.2.2 <a@example.com>: user is over quota (in reply to RCPT TO command)",
			"host mx.example.com[192.0.2.1] said: 422 4.2.2 The mailbox has exceeded its limit (in reply to RCPT TO command)",
			"host mx.example.com[192.0.2.1] said: 452 4.3.1 Insufficient system storage (in reply to MAIL FROM command)",
			"host mx.example.com[192.0.2.1] said: 452 try later (in reply to RCPT TO command)",
			"cannot update mailbox /var/mail/a for user a. error writing message: File too large",
			"cannot update mailbox /var/mail/a for user a. error writing message: Disk quota exceeded",
		}},
		{PolicyRefused, []string{
			"host mx.example.com[192.0.2.1] said: 454 4.7.1 <a@example.com>: Relay access denied (in reply to RCPT TO command)",
			"host mx.example.com[192.0.2.1] refused to talk to me: 554 5.7.1 Service unavailable; client [198.51.100.7] blocked",
			"host mx.example.com[192.0.2.1] said: 450 4.1.8 <b@example.net>: Sender address rejected: Domain not found " +
				"(in reply to RCPT TO command)",
			"host mx.example.com[192.0.2.1] said: 450 4.7.25 Client host rejected: cannot find your hostname, " +
				"[198.51.100.7] (in reply to RCPT TO command)",
			"host mx.example.com[192.0.2.1] said: 553 no (in reply to MAIL FROM command)",
			"SASL authentication failed: server mx.example.com[192.0.2.1] offered no compatible authentication " +
				"mechanisms for this type of connection security",
			"SASL authentication failed; server mx.example.com[192.0.2.1] said: 535 5.7.8 Error: authentication failed",
		}},
		{Transport, []string{
			"deferred transport",
			"mail transport unavailable",
			"unknown mail transport error",
		}},
		{Other, []string{
			"",
			"mail for example.com loops back to myself",
			"alias database unavailable",
			"Command died with status 75: \"/usr/bin/filter\"",
			"host mx.example.com[192.0.2.1] said: 451 4.3.0 Error: queue file write error (in reply to end of DATA command)",
			"host mx.example.com[192.0.2.1] said: 451 Connection refused by our database (in reply to end of DATA command)",
			"host connection-refused.example[192.0.2.1] said: 4 (in reply to end of DATA command)",
		}},
	}
	var c classifier
	for _, tt := range tests {
		t.Run(string(tt.want), func(t *testing.T) {
			for _, reason := range tt.reasons {
				if got := c.classify(reason); got != tt.want {
					t.Errorf("%s, not %s: %s", got, tt.want, reason)
				}
				// The reason before is remembered.
				if got := c.classify(reason); got != tt.want {
					t.Errorf("the second time %s, not %s: %s", got, tt.want, reason)
				}
			}
		})
	}
}

// TestReasonRules holds the table to what its comments say.
func TestReasonRules(t *testing.T) {
	rules := reasonRules
	if last := rules[len(rules)-1]; last.category != Other || last.own != nil || last.reply != nil ||
		last.status != nil || last.codes != nil {
		t.Error("the last category is not what is left")
	}
	for _, rule := range rules {
		if rule.category.Title() != rule.title {
			t.Errorf("%s has two titles", rule.category)
		}
		for _, words := range append(rule.own, rule.reply...) {
			if words != strings.ToLower(words) {
				t.Errorf("%s: %q is never met in lower case", rule.category, words)
			}
		}
		for _, words := range rule.own {
			if !strings.Contains(words, " ") {
				t.Errorf("%s: %q could be the name of a host", rule.category, words)
			}
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add("host mx.example.com[192.0.2.1] said: 450 4.7.1 later")
	f.Add("connect to mx.example.com[192.0.2.1]:25: Connection refused")
	f.Add(" said: 42")
	f.Fuzz(func(t *testing.T, reason string) {
		got := new(classifier).classify(reason)
		if !strings.Contains(" "+strings.Join(categoryNames(), " ")+" ", " "+string(got)+" ") {
			t.Errorf("%q is of the category %q", reason, got)
		}
	})
}

func categoryNames() []string {
	var names []string
	for _, c := range Categories() {
		names = append(names, string(c))
	}
	return names
}
