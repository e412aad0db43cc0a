package queue

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Problem is why mail waits: one trouble with one next hop.
type Problem struct {
	// NextHop is a host, a host and its port, a socket or a transport; "*.domain" for several hosts of one domain; empty
	// if the reason does not name it.
	NextHop string
	Hosts   int64 // different next hops, at least
	// Code and Status are those of a reply, "421" and "4.7.28"; empty if no server has spoken.
	Code, Status string
	Category     Category // OnHold, InMaildrop or Unrecorded if there is no reason
	Held         bool     // the mail is on hold: it waited for this before
	// Text is what most recipients wait for: the reply's words or Postfix's own, with * for what differs between
	// messages, at most 240 bytes.
	Text                 string
	Messages, Recipients int64
	Domains              Distinct // of recipients
	// Only is the one recipient, or the one domain of recipients, that has all of it; empty if there are several.
	Only           string
	Oldest, Newest time.Time // arrivals; zero if unknown
}

// Limits of what is remembered about problems.
const (
	maxProblems     = 512
	maxProblemTexts = 8
	shownProblems   = 40 // in a Breakdown
)

// problemRow is what is remembered about a problem.
type problemRow struct {
	symptom
	held        bool
	recipients  int64
	lastMessage int64 // the number of the message that was counted last
	hosts       distinctCounter
	domains     distinctCounter
	address     string              // the first one
	addresses   bool                // there are others
	texts       *frequent[struct{}] // by recipients
	oldest      time.Time
	newest      time.Time
}

// problemCounter finds the problems that most messages have.
type problemCounter struct {
	*frequent[problemRow]
	symptoms symptomReader
	distinct *distinctCounters
	messages int64
}

func newProblemCounter(distinct *distinctCounters) *problemCounter {
	p := &problemCounter{frequent: newFrequent[problemRow](maxProblems), distinct: distinct}
	p.forget = func(row *problemRow) {
		for _, d := range []*distinctCounter{&row.hosts, &row.domains} {
			d.forget(distinct)
		}
	}
	return p
}

// count counts a message. recipients are those of its recipients that the filter admits.
func (p *problemCounter) count(m *Message, recipients []Recipient) {
	p.messages++
	hasReason := slices.ContainsFunc(recipients, func(r Recipient) bool { return r.Reason != "" })
	unexplained, waits := withoutReason[m.Queue]
	if !hasReason && !waits {
		return
	}
	for _, r := range recipients {
		switch domain := domainOf(r.Address); {
		case r.Reason != "":
			s, hop := p.symptoms.read(r.Reason, domain, m.ContentFilter)
			p.countRecipient(m, r, domain, s, hop)
		case !hasReason:
			p.countRecipient(m, r, domain, unexplained, "")
		}
	}
	if len(recipients) == 0 {
		p.countMessage(m, unexplained)
	}
}

// withoutReason are the symptoms of mail that waits in a queue without a reason.
var withoutReason = map[Name]*symptom{
	Deferred: symptom{category: Unrecorded}.withKeys(),
	Hold:     symptom{category: OnHold}.withKeys(),
	Maildrop: symptom{category: InMaildrop}.withKeys(),
}

// countMessage counts a message unless it was counted already, and returns its row.
func (p *problemCounter) countMessage(m *Message, s *symptom) *problemRow {
	held := m.Queue == Hold && s.category != OnHold
	key := s.key
	if held {
		key = s.heldKey
	}
	if known := p.rows[key]; known != nil && known.row.lastMessage == p.messages {
		return &known.row
	}
	row := &p.frequent.add(key).row
	if row.texts == nil {
		row.symptom, row.held, row.texts = *s, held, newFrequent[struct{}](maxProblemTexts)
	}
	row.lastMessage = p.messages
	if !m.Arrival.IsZero() {
		if row.oldest.IsZero() || m.Arrival.Before(row.oldest) {
			row.oldest = m.Arrival
		}
		row.newest = latest(row.newest, m.Arrival)
	}
	return row
}

func (p *problemCounter) countRecipient(m *Message, r Recipient, domain string, s *symptom, hop string) {
	row := p.countMessage(m, s)
	row.recipients++
	row.domains.add(p.distinct, domain)
	if row.address == "" {
		row.address = strings.Clone(r.Address)
	}
	row.addresses = row.addresses || row.address != r.Address
	if hop != "" {
		row.hosts.add(p.distinct, hop)
	}
	if s.text != "" {
		row.texts.add(s.text)
	}
}

// problems returns the problems that most messages have, and whether there may be others.
func (p *problemCounter) problems() (list []Problem, more bool) {
	rows := p.certain(shownProblems)
	for _, c := range rows {
		list = append(list, c.row.problem(c.count))
	}
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(b.Recipients, a.Recipients))
	})
	return list, p.taken > 0 || len(p.rows) > len(rows)
}

func (r *problemRow) problem(messages int64) Problem {
	p := Problem{
		Hosts: r.hosts.number().Number, Code: r.code, Status: r.status, Category: r.category, Held: r.held,
		Messages: messages, Recipients: r.recipients, Domains: r.domains.number(),
		Only: r.domains.single(), Oldest: r.oldest, Newest: r.newest,
	}
	if !r.addresses {
		p.Only = r.address
	}
	switch host := r.hosts.single(); {
	case host != "":
		p.NextHop = host
	case p.Hosts > 1 && r.group != "":
		p.NextHop = "*." + r.group
	}
	if texts := r.texts.sorted(); len(texts) > 0 {
		p.Text = texts[0].key
	}
	return p
}
