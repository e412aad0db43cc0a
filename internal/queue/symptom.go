package queue

import (
	"bytes"
	"net/netip"
	"strings"
)

// symptom is what a deferral reason says, apart from whom it says it about.
type symptom struct {
	// group is what the next hops have in common that one administrator runs: a domain and a port, a socket, a transport.
	// It is empty if the reason names no next hop, or if others have nothing in common with it.
	group        string
	code, status string // of a reply: "421", "4.7.28"
	category     Category
	// text is the reply's words, or Postfix's own if no server has spoken. Its variable parts are *.
	text string
	// key is the same for recipients that have the same problem: of a reply the wording does not count. heldKey is that
	// of mail on hold.
	key, heldKey string
}

func (s symptom) withKeys() *symptom {
	text := s.text
	if s.code != "" {
		text = ""
	}
	s.key = strings.Join([]string{s.group, s.code, s.status, string(s.category), text}, "\x00")
	s.heldKey = "held\x00" + s.key
	return &s
}

// symptomReader finds the symptoms of reasons. It knows those that it has found by what does not vary in a reason, so
// that most reasons cost neither memory nor a search for their category.
type symptomReader struct {
	words    []byte // of a reason
	template []byte // what does not vary
	known    map[string]*symptom

	last struct{ host, port, name string }
}

// maxKnownSymptoms is how many symptoms are known at the same time.
const maxKnownSymptoms = 512

// impliedPrefixes begin texts and say nothing that the next hop and the category do not.
var impliedPrefixes = [][]byte{
	[]byte("connect to *: "), []byte("Host or domain name not found. Name service error for name=* "),
}

// read returns the symptom of a reason that a recipient in the given domain waits for, and the next hop: a host, a host
// and its port, a socket, a name that was not found; empty if the reason names none. The content filter of the message,
// if it has one, is the transport that the queue manager says is unavailable.
func (r *symptomReader) read(reason, domain, contentFilter string) (s *symptom, hop string) {
	reason = firstBytes(withoutSuspended(reason), maxClassified)
	own, reply := cutReply(reason)
	code, status, words := splitReply(reply)
	h := cutNextHop(own)
	r.words = append(r.words[:0], words...)
	kind := "reply"
	if reply == "" {
		kind = "own"
		r.words = append(append(append(r.words[:0], h.before...), h.mark...), h.after...)
	}
	r.template = r.template[:0]
	for _, part := range []string{kind, h.group, h.port, code, status} {
		r.template = append(append(r.template, part...), 0)
	}
	start := len(r.template)
	r.template = appendMasked(r.template, r.words, domain, code, status)
	for _, prefix := range impliedPrefixes {
		if text := r.template[start:]; bytes.HasPrefix(text, prefix) {
			r.template = append(r.template[:start], text[len(prefix):]...)
		}
	}
	s = r.remember(func() symptom {
		return symptom{
			group: h.group + h.port, code: strings.Clone(code), status: strings.Clone(status),
			category: categoryOf(strings.ToLower(reason)), text: string(r.template[start:]),
		}
	})
	if s.category == Transport && h.host == "" && contentFilter != "" {
		r.template = append(append(r.template, 0), contentFilter...)
		unavailable := *s
		return r.remember(func() symptom { unavailable.group = strings.Clone(contentFilter); return unavailable }), contentFilter
	}
	return s, r.nameOf(h)
}

// remember returns the symptom of the template, found if it is new.
func (r *symptomReader) remember(find func() symptom) *symptom {
	s := r.known[string(r.template)]
	if s == nil {
		if r.known == nil || len(r.known) >= maxKnownSymptoms {
			r.known = map[string]*symptom{}
		}
		s = find().withKeys()
		r.known[string(r.template)] = s
	}
	return s
}

func (r *symptomReader) nameOf(h nextHop) string {
	if h.port == "" {
		return h.host
	}
	if r.last.host != h.host || r.last.port != h.port {
		r.last.host, r.last.port = strings.Clone(h.host), strings.Clone(h.port)
		r.last.name = r.last.host + r.last.port
	}
	return r.last.name
}

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

// nextHop is where Postfix wanted to send mail.
type nextHop struct {
	host  string // or a socket; empty if the words name none
	port  string // ":25"
	group string // as in symptom, without the port
	// before and after are the words around it, and mark is what stands for it.
	before, mark, after string
}

// cutNextHop finds the next hop in Postfix's own words. It is "host[address]:port" or "host[socket]"; the host before a
// socket is this one.
func cutNextHop(own string) nextHop {
	const nameTag = "Name service error for name="
	if before, after, found := strings.Cut(own, nameTag); found {
		end := strings.IndexByte(after+" ", ' ')
		return nextHop{host: after[:end], before: own[:len(before)+len(nameTag)], mark: "*", after: after[end:]}
	}
	none := nextHop{before: own}
	open := strings.IndexByte(own, '[')
	if open <= 0 {
		return none
	}
	inside, tail, found := strings.Cut(own[open+1:], "]")
	start := strings.LastIndexByte(own[:open], ' ') + 1
	host := own[start:open]
	if !found || host == "" || strings.ContainsAny(inside, " []") {
		return none
	}
	h := nextHop{host: host, before: own[:start], mark: "*", after: tail}
	if _, err := netip.ParseAddr(strings.TrimPrefix(inside, "IPv6:")); err != nil {
		h.host, h.group = inside, inside
		return h
	}
	h.group = groupOf(host)
	if strings.HasPrefix(tail, ":") {
		end := 1
		for end < len(tail) && isDigit(tail[end]) {
			end++
		}
		if end > 1 {
			h.port, h.after = tail[:end], tail[end:]
		}
	}
	return h
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
	last := strings.LastIndexByte(host, '.')
	second := strings.LastIndexByte(host[:max(last, 0)], '.')
	if second < 0 || isAddress(host) {
		return host
	}
	if third := strings.LastIndexByte(host[:second], '.'); len(host)-last == len(".xx") && secondLevels[host[second+1:last]] {
		return host[third+1:]
	}
	return host[second+1:]
}

// isAddress reports whether a text is an IP address. Most are not, and for these an error costs memory.
func isAddress(text string) bool {
	if strings.Trim(text, "0123456789abcdefABCDEF.:") != "" || !strings.ContainsAny(text, ".:") {
		return false
	}
	_, err := netip.ParseAddr(text)
	return err == nil
}

// maxProblemText is the longest text of a problem, in bytes.
const maxProblemText = 240

// appendMasked appends words, with * for what differs between messages: addresses, domains of recipients, IP addresses,
// numbers and identifiers. It leaves out the repeated code and status of a reply of several lines.
func appendMasked(text, words []byte, domain, code, status string) []byte {
	start, skipStatus := len(text), false
	for field := range bytes.FieldsSeq(words) {
		rest, isCode := bytes.CutPrefix(field, []byte(code))
		switch {
		case code != "" && isCode && (len(rest) == 0 || rest[0] == '-' && (len(rest) == 1 || string(rest[1:]) == status)):
			skipStatus = len(rest) < 2
			continue
		case skipStatus && string(field) == status:
			continue
		}
		skipStatus = false
		if len(text) > start {
			text = append(text, ' ')
		}
		text = appendField(text, field, domain)
		if len(text)-start > maxProblemText {
			return append(text[:start], firstBytes(string(text[start:]), maxProblemText)...)
		}
	}
	return text
}

// punctuation may surround a variable part of a text.
const punctuation = "<>()[]{}\"'`,;:.!?"

// appendField appends a word, with * for its variable part.
func appendField(text, field []byte, domain string) []byte {
	core := bytes.Trim(field, punctuation)
	before := field[:len(field)-len(bytes.TrimLeft(field, punctuation))]
	after := field[min(len(field), len(before)+len(core)):]
	name, value, isPair := bytes.Cut(core, []byte("="))
	switch {
	case len(core) == 0:
		return append(text, field...)
	case bytes.Contains(core, []byte("://")):
		return appendURL(text, field, domain)
	case isPair && isVariable(value, domain):
		return append(append(append(append(text, before...), name...), "=*"...), after...)
	case isVariable(core, domain):
		if len(before) > 0 && len(after) > 0 && closes(before[len(before)-1], after[0]) {
			before, after = before[:len(before)-1], after[1:] // brackets around it say nothing
		}
		return append(append(append(text, before...), '*'), after...)
	}
	return append(text, field...)
}

// closes reports whether the brackets are a pair.
func closes(open, closing byte) bool {
	i := strings.IndexByte("<([{\"'`", open)
	return i >= 0 && ">)]}\"'`"[i] == closing
}

// appendURL appends an address of a page without its query, or without its last part if that varies.
func appendURL(text, url []byte, domain string) []byte {
	page, query, _ := bytes.Cut(url, []byte("?"))
	slash := bytes.LastIndexByte(page, '/')
	last := bytes.Trim(page[slash+1:], punctuation)
	varies := domain != "" && bytes.Contains(bytes.ToLower(last), []byte(domain)) || isVariable(last, domain)
	switch {
	case varies:
		return append(append(text, page[:slash+1]...), '*')
	case len(query) > 0:
		return append(append(text, page...), "?*"...)
	}
	return append(text, page...)
}

// isVariable reports whether a word differs between messages. A domain of one label is not told from other words.
func isVariable(word []byte, domain string) bool {
	if bytes.IndexByte(word, '@') >= 0 || strings.IndexByte(domain, '.') > 0 && equalFold(word, domain) {
		return true
	}
	digits, letters, others := 0, 0, 0
	for _, c := range word {
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
	if others == 0 && isAddress(string(word)) {
		return true
	}
	hasDot := bytes.IndexByte(word, '.') >= 0
	isNumber := letters == 0 && digits > 1 && !hasDot
	return isNumber || digits > 3 || digits > 1 && letters > 0 && len(word) >= 10 && !hasDot
}

func equalFold(word []byte, domain string) bool {
	return len(word) == len(domain) && strings.EqualFold(string(word), domain)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
