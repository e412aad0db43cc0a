package queue

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestClassify reads testdata/reasons.txt: a category and a reason on each line.
func TestClassify(t *testing.T) {
	var c classifier
	for reason, want := range knownReasons(t) {
		t.Run(reason, func(t *testing.T) {
			if got := c.classify(reason); got != want {
				t.Errorf("%s, not %s", got, want)
			}
			// The reason before is remembered.
			if got := c.classify(reason); got != want {
				t.Errorf("the second time %s, not %s", got, want)
			}
		})
	}
}

func knownReasons(t testing.TB) map[string]Category {
	t.Helper()
	data, err := os.ReadFile("testdata/reasons.txt")
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]Category{}
	for line := range strings.Lines(string(data)) {
		category, reason, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if ok && category != "#" {
			reasons[reason] = Category(category)
		}
	}
	return reasons
}

// TestReasonRules holds the table to what its comments say.
func TestReasonRules(t *testing.T) {
	rules := reasonRules
	if last := rules[len(rules)-1]; last.category != Other || last.own != nil || last.reply != nil ||
		last.status != nil || last.later != nil || last.codes != nil {
		t.Error("the last category is not what is left")
	}
	for _, rule := range rules {
		if rule.category.Title() != rule.title {
			t.Errorf("%s has two titles", rule.category)
		}
		for _, words := range slices.Concat(rule.own, rule.reply, anotherTry) {
			if len(words) < 2 {
				t.Errorf("%s: %q is too short", rule.category, words)
			}
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

// TestHints holds the hints to what a plugin's output can carry.
func TestHints(t *testing.T) {
	for _, category := range append(Categories(), OnHold, Unrecorded, "yesterday's") {
		hint := category.Hint()
		if len(hint) > 40 || strings.ContainsAny(hint, "\"'|$<>`\n") || string(Safe(hint)) != hint {
			t.Errorf("%s: %q", category, hint)
		}
		if known := slices.Contains(Categories(), category) && category != Other; known != (hint != "") {
			t.Errorf("%s: hint %q", category, hint)
		}
	}
}

// TestNamesDoNotDecide puts into hosts and addresses, which strangers choose, what decides elsewhere.
func TestNamesDoNotDecide(t *testing.T) {
	for _, rule := range reasonRules {
		for _, phrase := range slices.Concat(rule.own, rule.reply) {
			host := strings.ReplaceAll(strings.TrimSpace(phrase), " ", "-")
			checkNames(t, host+".example", host, phrase)
			checkNames(t, "mx."+host, "a."+host, phrase)
		}
	}
}

// checkNames fails if the category of a reason depends on a host name, on the local part of an address, or on a quoted
// one. The names have dots in hosts.
func checkNames(t *testing.T, host, local, quoted string) {
	t.Helper()
	for _, reason := range []string{
		"connect to HOST[192.0.2.1]:25: Connection refused",
		"conversation with HOST[192.0.2.1] timed out while sending RCPT TO",
		"lost connection with HOST[192.0.2.1] while sending RCPT TO",
		"delivery temporarily suspended: lost connection with HOST[192.0.2.1] while sending RCPT TO",
		"TLS is required, but was not offered by host HOST[192.0.2.1]",
		"Host or domain name not found. Name service error for name=HOST type=MX: Host not found, try again",
		"HOST: host not found",
		"unable to look up host HOST: Name or service not known",
		"mail for HOST loops back to myself",
		"mail forwarding loop for LOCAL@HOST",
		"connect to HOST[private/dovecot-lmtp]: No such file or directory",
		"SASL authentication failed; cannot authenticate to server HOST[192.0.2.1]: no mechanism available",
		`unknown user: "QUOTED"`,
		"host HOST[192.0.2.1] refused to talk to me: 421 HOST Service not available",
		"host HOST[192.0.2.1] refused to talk to me: 421 4.7.0 HOST closing connection",
		"host HOST[192.0.2.1] said: 421 4.4.2 HOST Error: timeout exceeded (in reply to RCPT TO command)",
		"host HOST[192.0.2.1] said: 450 4.3.0 <LOCAL@HOST>: no (in reply to RCPT TO command)",
		`host HOST[192.0.2.1] said: 450 4.3.0 <"QUOTED"@HOST>: no (in reply to RCPT TO command)`,
		`host HOST[192.0.2.1] said: 450 4.3.0 "QUOTED"@HOST: no (in reply to RCPT TO command)`,
		"host HOST[192.0.2.1] said: 451-4.3.0 LOCAL@HOST 451 4.3.0 see https://HOST/LOCAL (in reply to RCPT TO command)",
		"host HOST[192.0.2.1] said: 450 4.7.1 <HOST>: Helo command rejected: Host not found (in reply to RCPT TO command)",
		"host HOST[192.0.2.1] said: 451 4.7.1 Service unavailable; Client host [HOST] blocked using HOST",
		"host HOST[192.0.2.1] said: 553 no (in reply to MAIL FROM command)",
		"host HOST[192.0.2.1] said: 4",
	} {
		name := func(host, local, quoted string) string {
			return strings.NewReplacer("HOST", host, "LOCAL", local, "QUOTED", quoted).Replace(reason)
		}
		want := new(classifier).classify(name("mx.a.example", "bob", "bob"))
		if got := new(classifier).classify(name(host, local, quoted)); got != want {
			t.Errorf("%s, not %s: %s", got, want, name(host, local, quoted))
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add("host mx.example.com[192.0.2.1] said: 450 4.7.1 later")
	f.Add("connect to mx.example.com[192.0.2.1]:25: Connection refused")
	f.Add(" said: 42")
	f.Add(`450 4.7.1 <"a>b"@x>: [`)
	for reason := range knownReasons(f) {
		f.Add(reason)
	}
	f.Fuzz(func(t *testing.T, reason string) {
		if got := new(classifier).classify(reason); !slices.Contains(Categories(), got) {
			t.Errorf("%q is of the category %q", reason, got)
		}
	})
}

// FuzzNamesDoNotDecide tries whatever a host or an address can be called.
func FuzzNamesDoNotDecide(f *testing.F) {
	f.Add("greylist.example", "connection-refused")
	f.Add("rate limit", "too many hops")
	f.Add("451 4.3.0", "421-4.7.0 a said: 450 <b>")
	f.Fuzz(func(t *testing.T, host, local string) {
		allowed := func(also string) func(rune) rune {
			return func(r rune) rune {
				if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune(also, r) {
					return r
				}
				return -1
			}
		}
		// As names are in DNS, in RFC 5321's dot-atoms, and in its quoted strings; short of where a reason is cut.
		host = strings.Trim(strings.Map(allowed("-_"), host[:min(len(host), 63)]), "-_")
		quoted := strings.Map(allowed(" -_<>@[].:;,/=!#'()"), local[:min(len(local), 64)])
		atom := strings.Map(allowed("-_+=/!#'{}|~"), local[:min(len(local), 64)])
		checkNames(t, "mx"+host+".a"+host, "a"+atom, quoted)
	})
}

func BenchmarkClassify(b *testing.B) {
	var reasons []string
	for reason := range knownReasons(b) {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	b.Run("different", func(b *testing.B) {
		var c classifier
		for i := 0; b.Loop(); i++ {
			c.classify(reasons[i%len(reasons)])
		}
	})
	b.Run("equal", func(b *testing.B) {
		var c classifier
		for b.Loop() {
			c.classify(reasons[0])
		}
	})
}
