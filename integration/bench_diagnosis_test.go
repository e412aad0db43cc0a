//go:build integration

package integration

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"
)

// BenchmarkDiagnosis prints what it costs to say what most of the mail has in common, and to say everything with -vv,
// on a queue of N messages (50000) of which no two have the same login, addresses or reason. OLD names a check of
// another version to compare with, CONTENDERS is a regular expression that chooses among the rows.
func BenchmarkDiagnosis(b *testing.B) {
	emails := 50_000
	if n := os.Getenv("N"); n != "" {
		emails = number(b, n)
	}
	check, emitter := program(b, checkProgram), program(b, emitterProgram)
	b.Setenv("TMPDIR", "/var/tmp") // for the files of Postfix
	server := newSMTPServer(b)
	server.answer("d0000000.example", "450 4.2.0 <r@d0000000.example>: Greylisted, see http://grey.example/0000000")
	p := startPostfix(b, "default_transport="+server.transport(), "defer_transports=",
		"smtpd_authorized_xclient_hosts=127.0.0.0/8", "mynetworks=0.0.0.0/0")
	p.waitDeferred(p.send(mail{
		from: "u0000000@s0000000.example", to: []string{"r0000000@d0000000.example"}, sizeBytes: 3000,
		login: "l0000000@isp.example", client: "192.0.2.1",
	}))
	p.fillQueue(emails - 1)
	contenders := []contender{
		{name: "a loop over the queue files", run: minimalLoop},
		{name: "a loop over both files", run: minimalLoopOverBoth},
		programContender("check", check, "--source", "spool", "-t", "1000"),
		alertContender("check -c 1 --no-findings", check, "--source", "spool", "-t", "1000", "-c", "1", "--no-findings"),
		alertContender("check -c 1", check, "--source", "spool", "-t", "1000", "-c", "1"),
		programContender("check -vv", check, "--source", "spool", "-t", "1000", "-vv"),
		programContender("emit -f json --breakdown", emitter, "-t", "1000", "-f", "json", "--breakdown"),
		programContender("emit -f ids", emitter, "-t", "1000", "-f", "ids", "--all-messages"),
		programContender("postqueue -p", postqueueProgram, "-p"),
		ordinaryContender("ordinary user: check", check, "-t", "1000"),
		ordinaryContender("ordinary user: check -vv", check, "-t", "1000", "-vv"),
		ordinaryContender("ordinary user: emit -f json --breakdown", emitter, "-t", "1000", "-f", "json", "--breakdown"),
	}
	if old := os.Getenv("OLD"); old != "" {
		contenders = append(contenders, programContender("OLD check", old, "--source", "spool", "-t", "1000"),
			programContender("OLD check -vv", old, "--source", "spool", "-t", "1000", "-vv"))
	}
	wanted := regexp.MustCompile(os.Getenv("CONTENDERS"))
	contenders = slices.DeleteFunc(contenders, func(c contender) bool { return !wanted.MatchString(c.name) })
	warmRounds, coldRounds := 9, 3
	if emails > 100_000 {
		warmRounds, coldRounds = 3, 1 // of many minutes
	}
	for b.Loop() {
		warm := compare(b, contenders, warmRounds, nil)
		cold := map[string][]cost{}
		if err := dropCaches(); err == nil {
			cold = compare(b, contenders, coldRounds, dropCaches)
		}
		peaks := map[string]int64{}
		for _, c := range contenders {
			if c.peak != nil {
				peaks[c.name] = c.peak(b)
			}
		}
		fmt.Println(table(emails, contenders, nil, warm, cold, peaks))
	}
	b.ReportMetric(0, "ns/op") // the table says it
}

// alertContender is a programContender for a check that finds something.
func alertContender(name, path string, args ...string) contender {
	args = append([]string{"-c", `"$@"; [ $? -eq 2 ]`, "sh", path}, args...)
	return programContender(name, "sh", args...)
}

// ordinaryContender is a programContender for a user who can read the queue through postqueue alone.
func ordinaryContender(name, path string, args ...string) contender {
	args = append([]string{"--reuid=nobody", "--regid=nogroup", "--clear-groups", path}, args...)
	return programContender(name, "setpriv", args...)
}
