package queue

import (
	"net/netip"
	"strings"
)

// symptom is what a deferral reason says, apart from whom it says it about.
type symptom struct {
	hop          nextHop
	code, status string // of a reply: "421", "4.7.28"
	category     Category
	// text is the reply's words, or Postfix's own if no server has spoken. Its variable parts are *.
	text string
}

// clone returns a symptom that does not keep the reason in memory.
func (s *symptom) clone() symptom {
	return symptom{
		nextHop{strings.Clone(s.hop.name), strings.Clone(s.hop.group)},
		strings.Clone(s.code), strings.Clone(s.status), s.category, strings.Clone(s.text),
	}
}

// key is the same for recipients that have the same problem: of a reply the wording does not count.
func (s *symptom) key(held bool) string {
	text := s.text
	if s.code != "" {
		text = ""
	}
	var state string
	if held {
		state = "held"
	}
	return strings.Join([]string{state, s.hop.group, s.code, s.status, string(s.category), text}, "\x00")
}

// nextHop is where Postfix wanted to send mail.
type nextHop struct {
	// name is a host, a host and its port, a socket, or a transport; empty if the reason names none.
	name string
	// group is what hosts have in common that one administrator runs; empty if there may be several hosts that have
	// nothing in common.
	group string
}

// symptom returns that of a reason that a recipient in the given domain waits for.
func (c *classifier) symptom(reason, domain string) symptom {
	reason = firstBytes(strings.TrimPrefix(reason, suspended), maxClassified)
	s := symptom{category: c.classify(reason)}
	own, reply := cutReply(reason)
	var words string
	if s.code, s.status, words = splitReply(reply); words == "" && s.code == "" {
		words = reply
	}
	s.hop, own = cutNextHop(own)
	if reply == "" {
		words = own
	}
	s.text = maskVariable(words, domain, s.code, s.status)
	for _, prefix := range impliedPrefixes {
		s.text = strings.TrimPrefix(s.text, prefix)
	}
	return s
}

// impliedPrefixes begin texts and say nothing that the next hop and the category do not.
var impliedPrefixes = []string{"connect to *: ", "Host or domain name not found. Name service error for name=* "}

// splitReply divides a reply into its code, its enhanced status, "4.7.1", and its words. Postfix adds which of its
// commands was answered: that is left out.
func splitReply(reply string) (code, status, words string) {
	reply, _, _ = strings.Cut(reply, " (in reply to ")
	code, _, words = parseReply(reply)
	if code != "" {
		status = strings.Trim(strings.TrimSuffix(reply[len(code):], words), " -#")
	}
	return code, status, words
}

// cutNextHop finds the next hop in Postfix's own words, and returns these without it. It is "host[address]:port" or
// "host[socket]"; the host before a socket is this one.
func cutNextHop(own string) (hop nextHop, rest string) {
	const nameTag = "Name service error for name="
	if before, after, found := strings.Cut(own, nameTag); found {
		name, tail, _ := strings.Cut(after, " ")
		return nextHop{name: name}, before + nameTag + "* " + tail
	}
	open := strings.IndexByte(own, '[')
	if open <= 0 {
		return nextHop{}, own
	}
	inside, tail, found := strings.Cut(own[open+1:], "]")
	start := strings.LastIndexByte(own[:open], ' ') + 1
	host := own[start:open]
	if !found || host == "" || strings.ContainsAny(inside, " []") {
		return nextHop{}, own
	}
	if _, err := netip.ParseAddr(strings.TrimPrefix(inside, "IPv6:")); err != nil {
		return nextHop{inside, inside}, own[:start] + "*" + tail
	}
	port := ""
	if strings.HasPrefix(tail, ":") {
		end := 1
		for end < len(tail) && isDigit(tail[end]) {
			end++
		}
		if end > 1 {
			port, tail = tail[:end], tail[end:]
		}
	}
	return nextHop{host + port, groupOf(host) + port}, own[:start] + "*" + tail
}

// secondLevels are second-level domains under which others than their owners register domains, if the first level is
// that of a country.
var secondLevels = map[string]bool{
	"ac": true, "co": true, "com": true, "edu": true, "gob": true, "gouv": true, "gov": true, "govt": true, "id": true, "ltd": true,
	"mil": true, "ne": true, "net": true, "nom": true, "or": true, "org": true, "plc": true, "sch": true,
}

// groupOf returns the registrable domain of a host, nearly: it is only a label. Addresses and single labels stay.
func groupOf(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	labels := strings.Split(host, ".")
	n := 2
	if len(labels) > 2 && len(labels[len(labels)-1]) == 2 && secondLevels[labels[len(labels)-2]] {
		n = 3
	}
	return strings.Join(labels[max(0, len(labels)-n):], ".")
}

// maxProblemText is the longest text of a problem, in bytes.
const maxProblemText = 240

// maskVariable returns words in which * stands for what differs between messages: addresses, domains of recipients, IP
// addresses, numbers and identifiers. It leaves out the repeated code and status of a reply of several lines.
func maskVariable(words, domain, code, status string) string {
	var b strings.Builder
	skipStatus := false
	for field := range strings.FieldsSeq(words) {
		rest, isCode := strings.CutPrefix(field, code)
		switch {
		case code != "" && isCode && (rest == "" || rest == "-" || status != "" && rest == "-"+status):
			skipStatus = rest == "" || rest == "-"
			continue
		case skipStatus && field == status:
			continue
		}
		skipStatus = false
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(maskField(field, domain))
		if b.Len() > maxProblemText {
			break
		}
	}
	return firstBytes(b.String(), maxProblemText)
}

// Punctuation may surround a variable part of a text. Brackets around it say nothing, and go with it.
const (
	brackets    = "<>()[]{}\"'`"
	punctuation = brackets + ",;:.!?"
)

// maskField returns a word, with * for its variable part.
func maskField(field, domain string) string {
	core := strings.Trim(field, punctuation)
	after := strings.Trim(field[strings.Index(field, core)+len(core):], brackets)
	name, value, isPair := strings.Cut(core, "=")
	switch {
	case core == "":
		return field
	case strings.Contains(core, "://"):
		return maskURL(field, domain)
	case isPair && isVariable(value, domain):
		return name + "=*" + after
	case isVariable(core, domain):
		return "*" + after
	}
	return field
}

// maskURL returns an address of a page without its query, or without its last part if that varies.
func maskURL(url, domain string) string {
	page, _, hasQuery := strings.Cut(url, "?")
	slash := strings.LastIndexByte(page, '/')
	last := page[slash+1:]
	varies := domain != "" && strings.Contains(strings.ToLower(last), domain) || isVariable(strings.Trim(last, punctuation), domain)
	switch {
	case varies:
		return page[:slash+1] + "*"
	case hasQuery && url[len(page)+1:] != "":
		return page + "?*"
	}
	return page
}

func isVariable(word, domain string) bool {
	if strings.IndexByte(word, '@') >= 0 || domain != "" && strings.EqualFold(word, domain) {
		return true
	}
	digits, letters, others := 0, 0, 0
	for _, c := range []byte(word) {
		switch {
		case isDigit(c):
			digits++
		case c == '.' || c == ':':
		case 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F':
			letters++
		default:
			letters++
			others++ // it is no part of an IP address
		}
	}
	if digits == 0 {
		return false
	}
	if others == 0 {
		if _, err := netip.ParseAddr(word); err == nil {
			return true
		}
	}
	isNumber := letters == 0 && digits > 1 && !strings.Contains(word, ".")
	return isNumber || digits > 3 || digits > 1 && letters > 0 && len(word) >= 10 && !strings.Contains(word, ".")
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
