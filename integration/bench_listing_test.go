//go:build integration

package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// BenchmarkListing prints what it takes to read a listing of N messages (10000000) from a pipe. All addresses, reasons
// and queue IDs differ.
func BenchmarkListing(b *testing.B) {
	emails := "10000000"
	if n := os.Getenv("N"); n != "" {
		emails = n
	}
	// mawk writes faster than the programs read.
	const generate = `awk -v n=%s 'BEGIN { for (i = 0; i < n; i++) printf "{\"queue_name\": \"deferred\", ` +
		`\"queue_id\": \"%%08X\", \"arrival_time\": 1700000000, \"message_size\": 3000, \"forced_expire\": false, ` +
		`\"sender\": \"s%%d@s%%d.example\", \"recipients\": [{\"address\": \"r%%d@d%%d.example\", ` +
		`\"delay_reason\": \"host mx.d%%d.example[192.0.2.1] said: 450 4.2.0 Greylisted, see http://%%d.example\"}]}\n", ` +
		`0x10000000 + i, i, i, i, i, i, i }' | exec `
	check, emitter := program(b, checkProgram), program(b, emitterProgram)
	for b.Loop() {
		var text strings.Builder
		w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "\ts\tpeak, MiB\t")
		for _, run := range []struct {
			name, command string
			exitCode      int
		}{
			{"check", check, 0},
			{"check, CRITICAL with findings", check + " -c 1", 2},
			{"check -vv", check + " -vv", 0},
			{"emit -f json --breakdown", emitter + " -f json --breakdown", 0},
		} {
			pipe := fmt.Sprintf(generate, emails) + run.command + " -t 1000 --input -"
			r, peakBytes := measurePeakWithin(b, time.Hour, "sh", "-c", pipe)
			if r.exitCode != run.exitCode || !strings.Contains(r.stdout, emails) {
				b.Fatal(r)
			}
			fmt.Fprintf(w, "%s\t%.1f\t%.1f\t\n", run.name, r.duration.Seconds(), float64(peakBytes)/(1<<20))
		}
		w.Flush()
		fmt.Println(emails, "messages\n\n"+text.String())
	}
	b.ReportMetric(0, "ns/op") // the table says it
}
