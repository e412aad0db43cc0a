package spool

import (
	"strings"

	"example.org/postfix-queue-monitor/internal/queue"
)

// utf8Setting reports whether Postfix shows UTF-8 as it is: smtputf8_enable. nil: it does. It is called only if it
// matters.
type utf8Setting func() bool

// listedAddress returns an address of a queue file as postqueue lists it: the local part quoted if RFC 822
// requires it, ? for each unprintable character, and a name for the empty address.
func (utf8 utf8Setting) listedAddress(raw []byte) string {
	if len(raw) == 0 {
		return queue.NullSender
	}
	return utf8.printable(quote822(string(raw)))
}

// quote822 quotes the local part of an address as quote_822_local.c does. A source route before it stays as it
// is.
func quote822(address string) string {
	route, rest := "", address
	if strings.HasPrefix(address, "@") {
		if colon := strings.IndexByte(address, ':'); colon >= 0 {
			route, rest = address[:colon+1], address[colon+1:]
		}
	}
	local, domain := rest, ""
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		local, domain = rest[:at], rest[at:]
	}
	if isDotString(local) {
		return address
	}
	quoted := strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\r", "\\\r").Replace(local)
	return route + `"` + quoted + `"` + domain
}

func isDotString(local string) bool {
	if local == "" || local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, "..") {
		return false
	}
	for i := range len(local) {
		if c := local[i]; c <= ' ' || c == 0x7f || strings.IndexByte(`()<>@,;:\"[]`, c) >= 0 {
			return false
		}
	}
	return true
}

// printable replaces what printable.c of Postfix replaces: control characters, and bytes that are not UTF-8, or not
// ASCII if smtputf8_enable=no.
func (utf8 utf8Setting) printable(text string) string {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' {
			if utf8 != nil && !isASCII(text[i:]) && !utf8() {
				return string(asciiOnly([]byte(text)))
			}
			return strings.Map(func(r rune) rune {
				if r < ' ' || r == 0x7f || r == '\uFFFD' {
					return '?'
				}
				return r
			}, text)
		}
	}
	return text
}

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r > 0x7f }) < 0
}

// asciiOnly replaces, in place, each byte that is not printable ASCII.
func asciiOnly(text []byte) []byte {
	for i, c := range text {
		if c < ' ' || c > '~' {
			text[i] = '?'
		}
	}
	return text
}
