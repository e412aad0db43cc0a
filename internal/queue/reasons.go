package queue

import (
	"slices"
	"strings"
)

// Category is a kind of deferral reason, in the form of a metric's name.
type Category string

// The categories of deferral reasons.
const (
	ConnectionRefused  Category = "connection_refused"
	ConnectionTimedOut Category = "connection_timed_out"
	HostNotFound       Category = "host_not_found"
	LostConnection     Category = "lost_connection"
	MailboxFull        Category = "mailbox_full"
	NoRoute            Category = "no_route"
	Other              Category = "other"
	PolicyRefused      Category = "policy_refused"
	RateLimited        Category = "rate_limited"
	TLS                Category = "tls"
	Transport          Category = "transport"
)

// Why mail waits that has no deferral reason.
const (
	OnHold     Category = "hold"
	Unrecorded Category = "unrecorded"
	InMaildrop Category = "maildrop"
)

// reasonRule says what belongs to a category. All its words are in lower case.
type reasonRule struct {
	category Category
	title    string // for people
	// own are Postfix's own words, as the SMTP client, the local delivery agents and the queue manager write them
	// into a reason (smtp_connect.c, smtp_addr.c, smtp_proto.c, smtp_trouble.c, qmgr_deliver.c, mail_copy.c,
	// mbox_open.c), and those of strerror(3). Each contains a space: a single word could be part of a host name,
	// which strangers choose.
	own []string
	// reply are words of another server's reply.
	reply []string
	// status are enhanced status codes without their class, or a reply code and such a status: RFC 3463, and
	// IANA's registry. One that ends in a dot stands for all details of its subject.
	status []string
	// codes are reply codes of SMTP, or their first digits, for replies that say nothing else: RFC 5321, section
	// 4.2.
	codes []string
}

// reasonRules is the table of categories. A reason with a server's reply is judged by the reply's words, then by
// its enhanced status, then by its code; any other reason by Postfix's words. The first rule that fits counts, so
// special rules come before general ones.
var reasonRules = []reasonRule{
	{
		category: TLS, title: "TLS",
		own: []string{
			"tls is required", "cannot start tls", "tls configuration problem", "requested requiretls",
			"tlsa lookup error", "tlsa records", "server certificate ",
		},
		reply: []string{"starttls command first", "tls required", "requires tls", "tls not available"},
		// Cryptographic features: RFC 3463, 3.8; RFC 8689.
		status: []string{"7.4", "7.5", "7.6", "7.7", "7.10", "7.11", "7.30"},
	},
	{
		category: RateLimited, title: "greylisted or rate limited",
		reply: []string{
			"greylist", "graylist", "grey list", "gray list", "rate limit", "ratelimit", "throttl", "too many", "too fast",
			"too quickly", "at a rate that", "unusual rate", "exceeded the rate", "unexpected volume", "server busy", "try again in ",
		},
		status: []string{"4.5", "5.3", "7.28", "421 7.", "450 7.", "451 7."},
		codes:  []string{"421"},
	},
	{
		category: MailboxFull, title: "mailbox or disk full",
		own:    []string{"quota exceeded", "mailbox full", "mailbox is full", "file too large", "no space left on device"},
		reply:  []string{"over quota", "overquota", "quota exceeded", "mailbox full", "mailbox is full", "insufficient system storage", "insufficient disk space"},
		status: []string{"2.2", "3.1"},
		codes:  []string{"452"},
	},
	{
		category: ConnectionRefused, title: "connection refused",
		own: []string{"connection refused"},
	},
	{
		category: NoRoute, title: "no route to the host",
		own: []string{"no route to host", "network is unreachable", "network is down", "all network protocols are disabled", "address family not supported"},
	},
	{
		category: ConnectionTimedOut, title: "connection timed out",
		own: []string{"connection timed out", "operation timed out", " timed out while "},
	},
	{
		category: LostConnection, title: "lost connection",
		own:    []string{"lost connection with", "connection reset by peer", "broken pipe"},
		status: []string{"4.2"},
	},
	{
		category: HostNotFound, title: "host not found",
		own: []string{"host not found", "name service error", "host or domain name not found", "unable to look up host", "unable to find primary relay"},
	},
	{
		category: Transport, title: "transport deferred or unavailable",
		own: []string{"deferred transport", "mail transport unavailable", "unknown mail transport error"},
	},
	{
		category: PolicyRefused, title: "relay or policy refused",
		own:    []string{"sasl authentication failed"},
		reply:  []string{"relay", "rejected", "denied", "blocked", "block list", "blocklist", "blacklist", "spam", "reputation"},
		status: []string{"7.", "1.8"},
		codes:  []string{"53", "550", "553", "554"},
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
		c.category = categoryOf(strings.ToLower(reason[:min(len(reason), maxClassified)]))
	}
	return c.category
}

func categoryOf(reason string) Category {
	own, reply := cutReply(reason)
	code, status, words := parseReply(reply)
	tests := []func(reasonRule) bool{
		func(r reasonRule) bool { return containsAny(own, r.own) },
		func(r reasonRule) bool { return containsAny(words, r.reply) },
		func(r reasonRule) bool { return hasStatus(code, status, r.status) },
		func(r reasonRule) bool { return hasPrefix(code, r.codes) },
	}
	for _, fits := range tests {
		if i := slices.IndexFunc(reasonRules, fits); i >= 0 {
			return reasonRules[i].category
		}
	}
	return Other
}

// cutReply divides a reason into Postfix's words and the reply that they quote, which may be empty.
func cutReply(reason string) (own, reply string) {
	for _, introduction := range []string{" said: ", " refused to talk to me: ", " refused to start tls: "} {
		if i := strings.Index(reason, introduction); i >= 0 {
			end := i + len(introduction)
			return reason[:end], reason[end:]
		}
	}
	return reason, ""
}

// parseReply divides a reply, "450 4.7.1 Try again later", into its code, its enhanced status without the class
// ("7.1"), and its words. Missing parts are empty.
func parseReply(reply string) (code, status, words string) {
	if len(reply) < 3 || strings.Trim(reply[:3], "0123456789") != "" {
		return "", "", reply
	}
	code, words = reply[:3], strings.TrimLeft(reply[3:], " -")
	first, rest, _ := strings.Cut(words, " ")
	class, detail, ok := strings.Cut(first, ".")
	if ok && len(class) == 1 && strings.ContainsAny(class, "245") && strings.Trim(detail, "0123456789.") == "" {
		status, words = detail, rest
	}
	return code, status, words
}

func containsAny(text string, phrases []string) bool {
	return slices.ContainsFunc(phrases, func(phrase string) bool { return strings.Contains(text, phrase) })
}

// hasStatus reports whether a status, alone or with its code, is in the list.
func hasStatus(code, status string, list []string) bool {
	return status != "" && slices.ContainsFunc(list, func(item string) bool {
		for _, text := range []string{status, code + " " + status} {
			if text == item || strings.HasSuffix(item, ".") && strings.HasPrefix(text, item) {
				return true
			}
		}
		return false
	})
}

func hasPrefix(text string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(text, prefix) })
}

// Hint says who must act on a category, or that nobody must.
func (c Category) Hint() string {
	return map[Category]string{HostNotFound: "the resolver, if there are many domains"}[c]
}
