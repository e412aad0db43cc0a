package queue

import (
	"slices"
	"strings"
)

// Category is a kind of deferral reason, in the form of a metric's name.
type Category string

// The categories of deferral reasons.
const (
	Authentication     Category = "authentication"
	Blocked            Category = "blocked"
	ConnectionRefused  Category = "connection_refused"
	ConnectionTimedOut Category = "connection_timed_out"
	Greylisted         Category = "greylisted"
	HostNotFound       Category = "host_not_found"
	Local              Category = "local"
	Loop               Category = "loop"
	LostConnection     Category = "lost_connection"
	MailboxFull        Category = "mailbox_full"
	NoRoute            Category = "no_route"
	Other              Category = "other"
	RateLimited        Category = "rate_limited"
	RemoteError        Category = "remote_error"
	TLS                Category = "tls"
	Transport          Category = "transport"
	UnknownUser        Category = "unknown_user"
)

// Why mail waits that has no deferral reason.
const (
	OnHold     Category = "hold"
	Unrecorded Category = "unrecorded"
	InMaildrop Category = "maildrop"
)

// reasonRule says what belongs to a category. All its words are in lower case. They are looked up in texts without
// addresses, host names and what is in brackets, whose words are separated by single spaces.
type reasonRule struct {
	category Category
	title    string // for people
	hint     string // whether it clears itself, or who must act; empty if that depends
	// own are Postfix's own words, as the SMTP client, the delivery agents and the queue manager write them into a
	// reason (smtp_*.c, dns_lookup.c, qmgr_deliver.c, pipe_command.c, mail_copy.c, mbox_open.c, local and virtual),
	// and those of strerror(3) and sysexits(3). Each contains a space: a single word could be a host name.
	own []string
	// reply are words of another server's reply.
	reply []string
	// status are enhanced status codes without their class, or a reply code and such a status: RFC 3463, and
	// IANA's registry. One that ends in a dot stands for all details of its subject that no rule names.
	status []string
	// later are such statuses that count if the reply also speaks of another try.
	later []string
	// codes are reply codes of SMTP, or their first digits, for replies that say nothing else: RFC 5321, section
	// 4.2.
	codes []string
}

// anotherTry are the words of a reply that speaks of another try.
var anotherTry = []string{"again", "later", "come back", "retry", "minutes", "seconds"}

// reasonRules is the table of categories. A reason with a server's reply is judged by the reply's words, then by
// its enhanced status, then by its code; any other reason by Postfix's words. The first rule that fits counts, so
// special rules come before general ones: "too many hops" before "too many", "blocked" before "service unavailable".
var reasonRules = []reasonRule{
	{
		category: Loop, title: "mail loop", hint: "see mydestination, relayhost and MX",
		own:    []string{"loops back to", "forwarding loop", "database loop", "nesting limit"},
		reply:  []string{"too many hops", "hop count", "too many received", "loop"},
		status: []string{"4.6"},
	},
	{
		category: TLS, title: "TLS", hint: "certificate or TLS policy",
		own: []string{
			"tls is required", "start tls", "tls configuration", "requested requiretls", "requiretls policy",
			"tlsa lookup", "tlsa records", "dnssec destination", "server certificate", "no requisite library",
		},
		reply: []string{
			"starttls", "tls required", "requires tls", "tls is required", "tls not available", "encryption",
		},
		// Cryptographic features: RFC 3463, 3.8; RFC 8689; Microsoft has 7.66 for old versions of TLS. Others use 7.7
		// for anything.
		status: []string{"7.4", "7.5", "7.10", "7.11", "7.30", "7.66"},
	},
	{
		category: Greylisted, title: "greylisted", hint: "clears itself",
		// "internal resource" is Mimecast's, "not yet" that of scripts for Exim.
		reply: []string{
			"greylist", "graylist", "grey list", "gray list", "grey-list", "gray-list", "not yet", "internal resource",
		},
		later: []string{"450 2.0", "450 7.", "451 7."},
	},
	{
		category: RateLimited, title: "rate limited", hint: "clears when less is sent",
		reply: []string{
			"rate limit", "ratelimit", "rate-limit", "throttl", "too many", "too much mail", "too fast", "too quickly",
			"at a rate", "unusual rate", "exceeded the rate", "unexpected volume", "excessive volume", "busy", "per hour",
			"per day", "for sending", "sending limit", "relay limit", "thread limit", "maximum number",
			"maximum connections",
		},
		status: []string{"4.5", "5.3", "7.28", "421 2.0", "421 7."},
		codes:  []string{"421"},
	},
	{
		category: MailboxFull, title: "mailbox or disk full", hint: "the recipient must make room",
		own: []string{"quota exceeded", "file too large", "no space left"},
		reply: []string{
			"quota", "mailbox full", "mailbox is full", "out of storage", "system storage", "system full", "disk space",
			"disk full",
		},
		status: []string{"2.2", "3.1"},
		codes:  []string{"422", "452", "552"},
	},
	{
		category: UnknownUser, title: "unknown user", hint: "the address, or the list that has it",
		own: []string{"unknown user", "user unknown"},
		reply: []string{
			"user unknown", "unknown user", "no such", "no mailbox", "recipient unknown", "unknown recipient",
			"invalid recipient",
		},
		status: []string{"1.1", "1.6", "1.10", "2.1"},
	},
	{
		category: Authentication, title: "authentication", hint: "the password at the relay",
		own: []string{"authentication failed"},
		reply: []string{
			"authentication required", "authentication failed", "not authenticated", "cannot authenticate", "relay access",
			"relaying", "to relay", "open relay", "rcpthosts",
		},
		status: []string{"7.8", "7.9", "530 7.", "534 7.", "535 7."},
		codes:  []string{"530", "534", "535"},
	},
	{
		category: Blocked, title: "blocked", hint: "act here: block list, PTR or HELO",
		reply: []string{
			"blocked", "listed", "block list", "blocklist", "black list", "blacklist", "whitelist", "reputation",
			"permanently deferred", "client host rejected", "helo command rejected", "access denied", "not allowed",
			"not accepted", "reverse dns", "ptr record", "ptr resource", "dynamic", "unresolvable", "not resolve",
			"due to policy", "spam message", "as spam", "like spam",
		},
		status: []string{"7.", "1.7", "1.8"},
		codes:  []string{"55", "57"},
	},
	{
		category: ConnectionRefused, title: "connection refused", hint: "is the service there running",
		own: []string{"connection refused"},
	},
	{
		category: HostNotFound, title: "host not found", hint: "see the resolver if many domains",
		own: []string{
			"host not found", "name service", "name not found", "look up host", "primary relay", "name server loop",
			"error looking up", "not accept mail",
		},
		status: []string{"1.2"},
	},
	{
		category: NoRoute, title: "no route to the host", hint: "network or firewall, here or there",
		own: []string{
			"no route to host", "is unreachable", "network is down", "host is down", "network protocols are disabled",
			"address family not supported",
		},
	},
	{
		category: ConnectionTimedOut, title: "connection timed out", hint: "network, firewall or a slow server",
		own: []string{"timed out"},
	},
	{
		category: Transport, title: "transport deferred or unavailable", hint: "see master.cf and defer_transports",
		own: []string{"deferred transport", "mail transport"},
	},
	{
		category: Local, title: "trouble on this machine", hint: "see the mail log",
		own: []string{
			"resolver failure", "alias database", "lookup error", "lookup failure", "configuration error", "data error",
			"command time limit", "command died", "command failed", "command output", "delivery failed",
			"temporary failure", "service failure", "resource problem", "resource temporarily", "buffer space",
			"output error", "output file", "permission denied", "not permitted", "no such file", "cannot access",
			"cannot allocate", "cannot assign", "cannot open", "cannot update", "not owned by", "unable to forward",
			"error reading",
		},
	},
	{
		category: LostConnection, title: "lost connection", hint: "network, firewall or their server",
		own:    []string{"lost connection", "reset by peer", "broken pipe"},
		reply:  []string{"timeout exceeded", "timeout waiting", "connection expired"},
		status: []string{"4.2"},
	},
	{
		category: RemoteError, title: "error of the other server", hint: "theirs to mend",
		own: []string{"server unavailable", "server message"},
		reply: []string{
			"temporary ", "temperror", "temporarily rejected", "unavailable", "not available", "unable to", "system error",
			"server error", "internal error", "unexpected failure", "verification in progress", "unverified address",
		},
		later:  []string{"2.1"}, // which alone means that the mailbox takes no mail
		status: []string{"2.0", "3.", "4.", "450 5.0", "451 5.0", "7.24"},
		codes:  []string{"4"},
	},
	{category: Other, title: "other"},
}

// Categories returns the categories of deferral reasons, in alphabetical order. Each is a metric.
func Categories() []Category {
	var categories []Category
	for _, rule := range reasonRules {
		categories = append(categories, rule.category)
	}
	slices.Sort(categories)
	return categories
}

// Title returns the name of a category for people.
func (c Category) Title() string {
	switch c {
	case OnHold:
		return "on hold"
	case Unrecorded:
		return "no reason recorded"
	case InMaildrop:
		return "not taken up from maildrop"
	}
	for _, rule := range reasonRules {
		if rule.category == c {
			return rule.title
		}
	}
	return string(c)
}

// Hint says in a few words whether such mail leaves by itself, or who must act. It is empty if that depends.
func (c Category) Hint() string {
	for _, rule := range reasonRules {
		if rule.category == c {
			return rule.hint
		}
	}
	return ""
}

// classifier finds the category of deferral reasons. It remembers the last one: most reasons are that of the
// message before.
type classifier struct {
	last     string
	category Category
}

// maxClassified is how many bytes of a reason count: more than a line of a reply has, RFC 5321, 4.5.3.1.5.
const maxClassified = 1024

func (c *classifier) classify(reason string) Category {
	if c.category == "" || reason != c.last {
		c.last = strings.Clone(reason)
		reason = withoutSuspended(reason)
		c.category = categoryOf(strings.ToLower(reason[:min(len(reason), maxClassified)]))
	}
	return c.category
}

func categoryOf(reason string) Category {
	own, reply := cutReply(reason)
	for _, mark := range quotes {
		if i := strings.Index(own, mark); i >= 0 {
			own, reply = own[:i+len(mark)], ""
		}
	}
	code, status, words := parseReply(reply)
	said, replied := newSearched(plainWords(own, "")), newSearched(plainWords(words, code))
	tests := []func(reasonRule) bool{
		func(r reasonRule) bool { return said.containsAny(r.own) },
		func(r reasonRule) bool { return replied.containsAny(r.reply) },
		func(r reasonRule) bool {
			return r.later != nil && replied.containsAny(anotherTry) &&
				(hasStatus(code, status, r.later) || hasSubject(code, status, r.later))
		},
		func(r reasonRule) bool { return hasStatus(code, status, r.status) },
		func(r reasonRule) bool { return hasSubject(code, status, r.status) },
		func(r reasonRule) bool { return hasPrefix(code, r.codes) },
	}
	for _, fits := range tests {
		if i := slices.IndexFunc(reasonRules, fits); i >= 0 {
			return reasonRules[i].category
		}
	}
	return Other
}

// quotes are where Postfix stops speaking for itself: what follows is the name of a command or a user, or what a
// command printed.
var quotes = []string{`: "`, "command output: "}

// cutReply divides a reason into Postfix's words and the reply that they quote, which may be empty.
func cutReply(reason string) (own, reply string) {
	for _, introduction := range []string{" said: ", " refused to talk to me: ", " refused to start TLS: ", " refused to start tls: "} {
		if i := strings.Index(reason, introduction); i >= 0 {
			end := i + len(introduction)
			return reason[:end], reason[end:]
		}
	}
	return reason, ""
}

// parseReply divides a reply, "450 4.7.1 Try again later", into its code, its enhanced status without the class
// ("7.1"), and its words. Missing parts are empty. Some servers write "450 #4.7.1 Try again later", and qmail "450 Try
// again later (#4.7.1)".
func parseReply(reply string) (code, status, words string) {
	if len(reply) < 3 || strings.Trim(reply[:3], "0123456789") != "" {
		return "", "", reply
	}
	code, words = reply[:3], strings.TrimLeft(reply[3:], " -")
	first, rest, _ := strings.Cut(words, " ")
	if status = parseStatus(strings.TrimPrefix(first, "#")); status != "" {
		return code, status, rest
	}
	if _, end, found := strings.Cut(words, "(#"); found {
		number, _, _ := strings.Cut(end, ")")
		status = parseStatus(number)
	}
	return code, status, words
}

// parseStatus returns an enhanced status code, "4.7.1", without its class, or nothing.
func parseStatus(text string) string {
	class, detail, ok := strings.Cut(text, ".")
	if ok && len(class) == 1 && strings.ContainsAny(class, "245") && strings.Trim(detail, "0123456789.") == "" {
		return detail
	}
	return ""
}

// searched is a text in which many phrases are looked up. It knows which pairs of adjacent bytes the text has: a
// phrase whose first pair is not among them is not in the text, which spares most searches.
type searched struct {
	text  string
	pairs [16]uint64
}

func newSearched(text string) *searched {
	s := &searched{text: text}
	for i := 1; i < len(text); i++ {
		word, bit := place(text[i-1], text[i])
		s.pairs[word] |= bit
	}
	return s
}

// place returns where the bit of a pair is. Several pairs share it.
func place(first, second byte) (word int, bit uint64) {
	hash := uint(first)*37 + uint(second)
	return int(hash / 64 % 16), 1 << (hash % 64)
}

// containsAny reports whether one of the phrases, of at least two bytes, is in the text.
func (s *searched) containsAny(phrases []string) bool {
	return slices.ContainsFunc(phrases, func(phrase string) bool {
		word, bit := place(phrase[0], phrase[1])
		return s.pairs[word]&bit != 0 && strings.Contains(s.text, phrase)
	})
}

// hasStatus reports whether the list has a status, alone or with the code.
func hasStatus(code, status string, list []string) bool {
	return slices.Contains(list, status) || slices.Contains(list, code+" "+status)
}

// hasSubject reports whether the list has the subject of a status, "7.", alone or with the code.
func hasSubject(code, status string, list []string) bool {
	subject, _, ok := strings.Cut(status, ".")
	return ok && (slices.Contains(list, subject+".") || slices.Contains(list, code+" "+subject+"."))
}

// plainWords returns a text without what strangers may have chosen: addresses, names of hosts and files, URLs, and
// what is in <>, [] or quotation marks. It also removes the code from every line of a reply; Postfix joins lines with
// blanks.
func plainWords(text, code string) string {
	var b strings.Builder
	b.Grow(len(text))
	for word := range strings.FieldsSeq(withoutSpans(text)) {
		if code != "" && strings.HasPrefix(word, code) {
			word = strings.TrimPrefix(word[len(code):], "-")
		}
		if word == "" || isName(word) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(word)
	}
	return b.String()
}

// isName reports whether a word is an address, a name or a number with dots. A dot at the end does not count.
func isName(word string) bool {
	dot := strings.IndexByte(word, '.')
	return dot >= 0 && strings.TrimRight(word[dot:], ".,:;)") != "" || strings.ContainsAny(word, "@=") ||
		strings.HasPrefix(word, "/") || strings.Contains(word, "://")
}

// withoutSpans removes what is in <>, [] or quotation marks, to the end of the text if nothing closes it.
func withoutSpans(text string) string {
	if !strings.ContainsAny(text, `<["`) {
		return text
	}
	var b strings.Builder
	var closing byte
	quoted := false // in <>: a local part such as "a>b"
	for i := range len(text) {
		c := text[i]
		switch {
		case closing == '>' && c == '"':
			quoted = !quoted
		case closing != 0:
			if c == closing && !quoted {
				closing = 0
			}
		case c == '<':
			closing = '>'
		case c == '[':
			closing = ']'
		case c == '"':
			closing = '"'
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func hasPrefix(text string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(text, prefix) })
}

// reasonCounter counts messages by the categories of their deferral reasons.
type reasonCounter struct {
	classifier classifier
	counts     map[Category]int64
	seen       []Category // in one message
}

func newReasonCounter() *reasonCounter {
	c := &reasonCounter{counts: map[Category]int64{}}
	for _, category := range Categories() {
		c.counts[category] = 0
	}
	return c
}

// add counts a message. recipients are those of its recipients that the filter admits.
func (c *reasonCounter) add(name Name, recipients []Recipient) {
	switch name {
	case Hold:
		c.counts[OnHold]++
		return
	case Deferred, "": // if a listing does not name the queue, only deferred mail has reasons
	default:
		return
	}
	c.seen = c.seen[:0]
	for _, r := range recipients {
		if r.Reason == "" {
			continue
		}
		category := c.classifier.classify(r.Reason)
		if !slices.Contains(c.seen, category) {
			c.seen = append(c.seen, category)
			c.counts[category]++
		}
	}
	if len(c.seen) == 0 && name == Deferred {
		c.counts[Unrecorded]++
	}
}

// suspended is what the queue manager puts before the reason of a message that it did not try because another one
// to the same destination was deferred: qmgr_deliver.c, qmgr_error.c.
const suspended = "delivery temporarily suspended: "

// withoutSuspended returns a reason without that. Some versions put it there again for each delivery that is suspended.
func withoutSuspended(reason string) string {
	for {
		rest, found := strings.CutPrefix(reason, suspended)
		if !found {
			return reason
		}
		reason = rest
	}
}
