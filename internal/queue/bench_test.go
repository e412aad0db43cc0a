package queue

import (
	"fmt"
	"testing"
	"time"
)

// deferredMail is mail as an incident leaves it: a provider that limits, hosts that are down, and greylisting, to some
// thousand domains.
func deferredMail(n int) []*Message {
	var list []*Message
	for i := range n {
		domain := fmt.Sprintf("d%d.example", i*7919%5000)
		reason := [...]string{
			fmt.Sprintf("host mx%d.bigprov.example[192.0.2.%d] said: 421-4.7.28 [198.51.100.1 %d] Our system has detected an "+
				"unusual rate of 421-4.7.28 unsolicited mail originating from your IP address. To protect our 421 4.7.28 users. "+
				"https://support.bigprov.example/mail/?p=Rate x%da.%d - gsmtp (in reply to end of DATA command)",
				i%3, i%200, i, i*7919, i),
			fmt.Sprintf("connect to mx.%s[192.0.2.9]:25: Connection refused", domain),
			fmt.Sprintf("Host or domain name not found. Name service error for name=%s type=MX: Host not found, "+
				"try again", domain),
			fmt.Sprintf("host mx.grey.example[192.0.2.5] said: 450 4.2.0 <r%d@%s>: Recipient address rejected: Greylisted, "+
				"see http://postgrey.example/help/%[2]s.html (in reply to RCPT TO command)", i, domain),
		}[i%4]
		list = append(list, &Message{
			Queue: Deferred, ID: fmt.Sprintf("%X", 1<<36+int64(i)), Sender: fmt.Sprintf("u%d@s%d.example", i, i*31%20_000),
			Login: fmt.Sprintf("l%d", i%3000), Client: fmt.Sprintf("192.0.2.%d", i%250), Arrival: time.Unix(int64(i), 0),
			Recipients: []Recipient{{Address: fmt.Sprintf("r%d@%s", i, domain), Reason: reason}},
		})
	}
	return list
}

func BenchmarkBreakdown(b *testing.B) {
	list := deferredMail(20_000)
	for b.Loop() {
		g := newBreakdownBuilder()
		for _, m := range list {
			g.add(m, m.Recipients, time.Hour)
		}
		g.breakdown()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(list)), "ns/message")
}

func BenchmarkSample(b *testing.B) {
	list := deferredMail(20_000)
	for b.Loop() {
		s := sample{}
		for _, m := range list {
			s.add(m, m.Recipients)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(list)), "ns/message")
}
