//go:build integration

package integration

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/emit"
	"example.org/postfix-queue-monitor/internal/emit/emittest"
)

// hostileReplies are what a mail server may say about a recipient.
var hostileReplies = []string{
	`450 a|b=c|d=1;2;3;4`,
	`450 4.7.1 ok | emails=0;;;0 size=0B;;;0`,
	`450 POSTFIX_QUEUE OK - queue is empty`,
	`450 $USER$ $HOSTADDRESS$ ${HOME} $(reboot) ` + "`reboot`",
	`450 <script>alert(1)</script> <b>bold</b> &lt;i&gt;`,
	`450 'single' "double" \n \u0000 \\`,
	`450 "}]} {"queue_name": "hold", "message_size": 1000000}`,
	`450 (a) *active* !held! -- 5 Kbytes in 5 Requests.`,
	"450 bell\a tab\t escape\x1b[31mred return\rdelete\x7f csi\x9b31m",
	"451-4.3.0 first | a=1\r\n451 4.3.0 second | b=2",
	"450 umlaut \u00e4 euro \u20ac ideogram \u6f22 emoji \U0001f4a9",
	"450 next line \u0085 line \u2028 paragraph \u2029 end",
	"450 right to left \u202e override \u2066 isolate \ufeff mark \u200b nothing",
	"450 not UTF-8 \xff\xfe \xc3( \xe4",
	"450 " + strings.Repeat("long|", 350),
}

// hostileLocalParts are local parts of addresses that Postfix accepts.
var hostileLocalParts = []string{
	`"a|b=c"`,
	`"$USER$"`,
	`"$(reboot)"`,
	"\"`reboot`\"",
	`"<script>"`,
	`"&amp;"`,
	`"it's"`,
	`"a\"b"`,
	`"a\\b"`,
	`"two words"`,
	`"(comment)"`,
	`"a, b; c: d"`,
	`-rf`,
	`a|b=c`,
	`$HOME`,
	"`x`",
	`{a}&b`,
	"\u00e4\u2028\u202e",
}

// TestHostileMail reads mail whose reasons and addresses look like something else on purpose.
func TestHostileMail(t *testing.T) {
	server := newSMTPServer(t)
	p := startPostfix(t, "defer_transports=", "default_transport="+server.transport(), "allow_min_user=yes")
	emptyText := p.must(p.postqueue("-p")).stdout
	var ids []string
	send := func(m mail) { ids = append(ids, p.send(m)) }
	for i, reply := range hostileReplies {
		domain := fmt.Sprintf("%d.example", i)
		server.answer(domain, reply)
		send(mail{from: "sender@example.com", to: []string{"recipient@" + domain}})
	}
	for i, local := range hostileLocalParts {
		domain := fmt.Sprintf("%d.example", i%len(hostileReplies))
		send(mail{from: local + "@example.com", to: []string{local + "@" + domain, "other@" + domain}})
	}
	listed := p.waitDeferred(ids...)
	asJSON, asText := p.must(p.postqueue("-j")).stdout, p.must(p.postqueue("-p")).stdout
	for _, hostile := range []string{"|", "=", "$", "`", "<script>", "'", `\"`, "\u2028", "\u202e", "\U0001f4a9"} {
		if !strings.Contains(asJSON, hostile) {
			t.Errorf("the mail has no %q, so it tests nothing: %q", hostile, asJSON)
		}
	}
	jsonFile, textFile := saveListing(t, asJSON), saveListing(t, asText)
	ordinaryJSON, ordinaryText := []string{"-i", saveListing(t, twoLines)}, []string{"-i", saveListing(t, emptyText)}

	// The methods check and emit verify that the output is safe.
	for _, detail := range []string{"-v", "-vv", "-vvv"} {
		for name, c := range map[string]struct {
			as   command
			args []string
		}{
			"as root":           {root, nil},
			"as nobody":         {nobody, nil},
			"of the spool":      {root, []string{"--source", "spool"}},
			"of showq":          {root, []string{"--source", "showq"}},
			"of a file":         {nobody, []string{"--input", jsonFile}},
			"of standard input": {command{user: "nobody", stdin: asJSON}, []string{"--input", "-"}},
			"beyond ranges":     {nobody, []string{"-w", "1", "-c", "2", "-c", "recipients=3"}},
		} {
			t.Run("check "+name+" "+detail, func(t *testing.T) {
				var a answer
				ran := during(func() { a = c.as.check(t, append(c.args, detail)...) })
				checkMetrics(t, a.perf, ran, listed, queueNames)
				if strings.Contains(a.text, "unreadable") {
					t.Errorf("the check could not read a line: %s", a)
				}
			})
		}
		t.Run("check of a text listing "+detail, func(t *testing.T) {
			a := nobody.check(t, "--input", textFile, detail)
			all := listed.metrics(queueNames)
			for _, metric := range []string{"emails", "size", "recipients", "forced_expire"} {
				if a.perf[metric] != all[metric] {
					t.Errorf("%s: got %d, want %d", metric, a.perf[metric], all[metric])
				}
			}
		})
	}
	for _, format := range emit.FormatNames() {
		remote := "tcp://127.0.0.1:1"
		if f, err := emit.LookupFormat(format); err == nil && f.Lines {
			remote = newUDPReceiver(t).target()
		}
		for name, args := range map[string][]string{
			"checked":       {"--check", "-v"},
			"shown":         {"--dry-run"},
			"shown, remote": {"--dry-run", "--to", remote, "-v"},
		} {
			if format == "ids" && slices.Contains(args, remote) {
				continue // it is for standard output
			}
			t.Run("emitter, "+format+" "+name, func(t *testing.T) {
				if r := nobody.emit(t, slices.Concat(formatOptions(format), args)...); r.exitCode != 0 {
					t.Error(r)
				}
			})
		}
		// A document of hostile mail has what one of ordinary mail has.
		for name, test := range map[string]struct{ args, hostile, ordinary []string }{
			"printed":   {nil, nil, ordinaryJSON},
			"explained": {[]string{"-v"}, nil, ordinaryJSON},
			"of JSON":   {[]string{"-v"}, []string{"-i", jsonFile}, ordinaryJSON},
			"of text":   {[]string{"-v"}, []string{"-i", textFile}, ordinaryText},
			"named":     {[]string{"--name", `a|b=c $d$ <script> 'e' ` + "\u2028"}, nil, ordinaryJSON},
		} {
			if format == "ids" && name == "of text" {
				continue // the ordinary listing is that of an empty queue
			}
			t.Run("emitter, "+format+" "+name, func(t *testing.T) {
				want := nobody.series(t, format, slices.Concat(test.args, test.ordinary)...)
				got := nobody.series(t, format, slices.Concat(test.args, test.hostile)...)
				// A listing does not say how much is free, and a few messages have nothing in common that is worth saying.
				got = slices.DeleteFunc(got, func(series string) bool {
					return strings.HasPrefix(series, "spool_free") || strings.HasPrefix(series, "findings")
				})
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("series (-of ordinary mail +of hostile mail):\n%s", diff)
				}
			})
		}
	}
	t.Run("gauges", func(t *testing.T) {
		var gauges map[string]int64
		ran := during(func() { gauges = nobody.gauges(t) })
		checkMetrics(t, gauges, ran, listed, queueNames)
	})
}

// formatOptions are those that a format needs.
func formatOptions(format string) []string {
	options := []string{"--format", format}
	if format == "ids" {
		options = append(options, "--all-messages")
	}
	if format == "value" {
		options = append(options, "--metrics", "emails,size,recipients")
	}
	return options
}

// series runs the emitter, which must succeed, and returns the names of the series that a receiver of the format
// reads in its document.
func (c command) series(t testing.TB, format string, args ...string) []string {
	t.Helper()
	options := slices.Concat(formatOptions(format), args)
	var r result
	if !isPlain(strings.Join(args, "")) && slices.Contains([]string{"influx", "json", "prometheus"}, format) {
		// They write UTF-8, and the administrator chose the name.
		r = c.run(t, program(t, emitterProgram), options...)
	} else {
		r = c.emit(t, options...)
	}
	isUnsafe := func(char rune) bool {
		switch {
		case format == "prometheus": // escapes only what would end a label
			return false
		case format == "json" && char == '\u2028': // ends a line of JavaScript
			return true
		}
		return unicode.IsControl(char) && char != '\n'
	}
	if strings.ContainsFunc(r.stdout, isUnsafe) || !utf8.ValidString(r.stdout) || !isPlain(r.stderr) {
		t.Errorf("the emitter's output has unsafe characters: %q and %q", r.stdout, r.stderr)
	}
	values, err := emittest.Decode(format, r.stdout)
	if r.exitCode != 0 || err != nil || len(values) == 0 {
		t.Fatalf("a receiver has %d series and %v of %s", len(values), err, r)
	}
	return slices.Sorted(maps.Keys(values))
}

// hostileText has everything that does not belong in an answer.
const hostileText = "a|b=1;2;3;4 $USER$ `c` <script>d</script> 'e' \"f\" \\g & \x1b[31m \u00e4 \u2028 \u202e \xff"

// TestHostileSurroundings gives the programs text that they repeat to say what is wrong.
func TestHostileSurroundings(t *testing.T) {
	t.Run("diagnostics of postqueue", func(t *testing.T) {
		user := strings.ReplaceAll(hostileText, " ", "_")
		for name, diagnostic := range map[string]string{
			"unknown":          "fatal: " + hostileText,
			"mail system down": "fatal: Queue report unavailable - mail system is down (" + hostileText + ")",
			"access denied":    "fatal: User " + user + "(65534) is not allowed to view the mail queue",
			"no main.cf":       "fatal: open /" + hostileText + "/main.cf: No such file or directory",
			"config directory": "error: unauthorized configuration directory name: " + hostileText,
			"broken stream":    "fatal: malformed showq server response" + hostileText,
			"endless":          strings.Repeat(hostileText, 1000),
		} {
			t.Run(name, func(t *testing.T) {
				replacePostqueue(t, fmt.Sprintf("cat %s >&2; exit 69", saveListing(t, "postqueue: "+diagnostic)))
				state := "UNKNOWN"
				if name == "mail system down" {
					state = "CRITICAL"
				}
				failure{as: nobody, state: state}.verify(t)
			})
		}
	})
	t.Run("input", func(t *testing.T) {
		for _, content := range []string{
			hostileText,
			"{" + hostileText + "}\n",
			`{"queue_name": "` + hostileText + "\"}\n",
			twoLines + hostileText,
		} {
			failure{as: nobody, args: []string{"--input", saveListing(t, content)}}.verify(t)
		}
	})
	t.Run("name of the input", func(t *testing.T) {
		failure{as: nobody, args: []string{"--input", "/nowhere/" + hostileText}}.verify(t)
		path := filepath.Join(publicTempDir(t), strings.ReplaceAll(hostileText, "/", ""))
		if err := os.WriteFile(path, []byte(twoLines), 0o644); err != nil {
			t.Fatal(err)
		}
		if a := nobody.check(t, "--input", path, "-vvv"); a.state != "OK" || a.perf["emails"] != 2 {
			t.Errorf("want OK and two messages, got %s", a)
		}
		if r := nobody.emit(t, "--input", path, "-v"); r.exitCode != 0 {
			t.Error(r)
		}
	})
	t.Run("arguments", func(t *testing.T) {
		for _, option := range []string{
			"-w", "-c", "-t", "-q", "-M", "-i", "-d", "--source", "--max-age", "--unknown", "-W", hostileText,
		} {
			for _, args := range [][]string{{option, hostileText}, {option + "=" + hostileText}} {
				if a := nobody.check(t, args...); !a.refused() {
					t.Errorf("%q: want UNKNOWN and one line, got %s", args, a)
				}
			}
		}
		for _, option := range []string{"-f", "--to", "-m", "-p", "--part", "--usec", "-i", "--source", hostileText} {
			r := nobody.emit(t, option, hostileText)
			if r.exitCode == 0 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("%q: want one line on stderr, got %s", option, r)
			}
		}
	})
	t.Run("name and directory of an instance", func(t *testing.T) {
		p := startPostfix(t)
		p.waitDeferred(p.send(mail{from: "a@example.com", to: []string{"b@example.org"}}))
		// Postfix expands $ in both of them as a macro.
		name := strings.NewReplacer("/", "", "$", "").Replace(hostileText)
		dir := filepath.Join(publicTempDir(t), name)
		p.must(root.run(t, "cp", "-a", configDir, dir))
		p.must(root.run(t, "postconf", "-c", dir, "-e", "multi_instance_name=postfix-"+name))
		p.settle(dir)
		for _, args := range [][]string{{"-d", dir}, {"-d", dir, "-d", configDir}} {
			a := root.check(t, append(args, "-vvv")...)
			if want := map[int]int{2: 20, 4: 2 * 3}[len(args)]; a.state != "OK" || len(a.perf) != want {
				t.Errorf("want OK and %d labels, got %s", want, a)
			}
			for _, format := range emit.FormatNames() {
				if (format == "value" || format == "ids") && len(args) > 2 {
					continue // they take one instance
				}
				root.series(t, format, append(args, "-v")...)
			}
			if a := nobody.check(t, append(args, "-vvv")...); a.state != "UNKNOWN" {
				t.Errorf("want UNKNOWN, got %s", a)
			}
		}
	})
}
