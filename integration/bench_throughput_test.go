//go:build integration

package integration

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// BenchmarkThroughput reports how many messages a second Postfix takes and delivers, without a monitor and with three:
// root's check and emitter (spool), and a check as nobody (postqueue), each once a second, which is 60 times as often
// as usual. The ratio is the median of pairs.
func BenchmarkThroughput(b *testing.B) {
	const messages, pairs = 3000, 9
	server := newSMTPServer(b)
	p := startPostfix(b, "defer_transports=", "default_transport="+server.transport())
	perSecond := func() float64 {
		before, start := server.messages(), time.Now()
		p.must(command{limit: 10 * patience}.run(b, "smtp-source", "-s", "5", "-m", fmt.Sprint(messages),
			"-f", "a@example.com", "-t", "b@example.org", "127.0.0.1:25"))
		waitFor(b, "the delivery", func() (bool, any) {
			delivered := server.messages() - before
			return delivered >= messages, delivered
		})
		return messages / time.Since(start).Seconds()
	}
	perSecond() // the first daemons start
	var without, with, ratios []float64
	for b.Loop() {
		for i := range pairs {
			rates := map[bool]float64{}
			for _, watched := range []bool{i%2 == 0, i%2 != 0} {
				stop := func() {}
				if watched {
					stop = watchEverySecond(b)
				}
				rates[watched] = perSecond()
				stop()
			}
			without, with = append(without, rates[false]), append(with, rates[true])
			ratios = append(ratios, rates[true]/rates[false])
		}
	}
	b.ReportMetric(0, "ns/op") // of many runs
	b.ReportMetric(median(without), "messages/s-alone")
	b.ReportMetric(median(with), "messages/s-watched")
	b.ReportMetric(median(ratios), "ratio")
}

// watchEverySecond runs the programs until stop is called.
func watchEverySecond(b *testing.B) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for next := time.Now(); ctx.Err() == nil; {
			root.check(b)
			root.emit(b)
			nobody.check(b)
			next = next.Add(time.Second)
			select {
			case <-ctx.Done():
			case <-time.After(time.Until(next)):
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}
