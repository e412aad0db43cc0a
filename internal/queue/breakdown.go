package queue

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Breakdown says what the messages are. Its size is bounded whatever is in the queue.
type Breakdown struct {
	Logins, Clients, Senders Owners // whose messages they are; of logins and clients only KnowsClients sources know
	// Problems says why mail waits, what most messages wait for first. A message whose recipients wait for different
	// reasons counts for each.
	Problems     []Problem
	MoreProblems bool     // there are, or may be, others
	Recipients   Ranking  // recipients that wait, by domain
	Domains      Distinct // of recipients
	NextTries    Span     // of deferred mail, zero if unknown
	// Largest is the message that waits for most recipients; its ID is empty if none waits for many.
	Largest LargeMessage
}

// Span is a time from First to Last.
type Span struct{ First, Last time.Time }

func (s *Span) add(t time.Time) {
	if s.First.IsZero() || t.Before(s.First) {
		s.First = t
	}
	s.Last = latest(s.Last, t)
}

// LargeMessage is a message to many recipients.
type LargeMessage struct {
	ID, Sender string
	Waiting    int64 // recipients that it waits for
	Done       int64 // other recipients; 0 if the source does not know
}

// manyRecipients is how many make a message large.
const manyRecipients = 100

const (
	rankedKeys  = 1024 // different domains that are counted at the same time
	rankingRows = 20   // domains in a Breakdown
	maxDomain   = 255  // bytes, RFC 1035
)

// NoDomain is the domain of an address without one.
const NoDomain = "(none)"

// domainOf returns the domain of an address in a listing: what follows the last @, in lower case.
func domainOf(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 && address == NullSender {
		return NullSender
	}
	if at < 0 || at == len(address)-1 {
		return NoDomain
	}
	domain := address[at+1:]
	return strings.ToLower(domain[max(0, len(domain)-maxDomain):])
}

// breakdownBuilder makes a Breakdown.
type breakdownBuilder struct {
	Breakdown
	owners     *ownersCounter
	problems   *problemCounter
	recipients *ranker
	distinct   *distinctCounters
	domains    distinctCounter
}

func newBreakdownBuilder() *breakdownBuilder {
	distinct := newDistinctCounters()
	return &breakdownBuilder{
		distinct: distinct, owners: newOwnersCounter(distinct), problems: newProblemCounter(distinct), recipients: newRanker(rankedKeys),
	}
}

// add counts a message. recipients are those of its recipients that the filter admits.
func (b *breakdownBuilder) add(m *Message, recipients []Recipient, age time.Duration) {
	b.owners.add(m)
	b.problems.count(m, recipients)
	column := ageColumn(age)
	for _, r := range recipients {
		domain := domainOf(r.Address)
		b.recipients.add(domain, column)
		b.domains.add(b.distinct, domain)
	}
	if m.Queue == Deferred && !m.Due.IsZero() {
		b.NextTries.add(m.Due)
	}
	if n := int64(len(recipients)); n >= manyRecipients && n > b.Largest.Waiting {
		b.Largest = LargeMessage{strings.Clone(m.ID), strings.Clone(m.Sender), n, m.Done}
	}
}

func (b *breakdownBuilder) breakdown() *Breakdown {
	result := b.Breakdown
	result.Logins, result.Clients, result.Senders = b.owners.logins.owners(), b.owners.clients.owners(), b.owners.senders.owners()
	result.Problems, result.MoreProblems = b.problems.problems()
	result.Domains = b.domains.number()
	result.Recipients = b.recipients.ranking(rankingRows)
	return &result
}

// firstBytes returns at most n bytes of a text, without cutting a character.
func firstBytes(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
