package queue

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Breakdown says what the messages of a Summary are. Its size is bounded whatever is in the queue.
type Breakdown struct {
	Recipients Ranking // recipients that wait, by domain
	Senders    Ranking // messages, by the sender's domain
	// Reasons says why messages wait that are deferred or on hold, the most frequent first. A message whose
	// recipients wait for different reasons counts once for each.
	Reasons []ReasonCount
}

// ReasonCount is a category of deferral reasons.
type ReasonCount struct {
	Category Category
	Messages int64
	// Example is the most frequent reason of the category: Postfix's text without "delivery temporarily
	// suspended", at most 240 bytes; empty if there is none.
	Example string
}

const (
	rankedKeys     = 1024 // different domains that are counted at the same time
	rankedExamples = 64   // different reasons of a category that are counted
	rankingRows    = 20   // domains in a Breakdown
	maxDomain      = 255  // bytes, RFC 1035
	maxExample     = 240
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

type breakdownBuilder struct {
	classifier classifier
	recipients *ranker
	senders    *ranker
	counts     map[Category]int64
	examples   map[Category]*ranker
	seen       []Category // in one message
}

func newBreakdownBuilder(q Query) *breakdownBuilder {
	if !q.Reasons && !q.Breakdown {
		return nil
	}
	b := &breakdownBuilder{counts: map[Category]int64{}}
	for _, category := range Categories() {
		b.counts[category] = 0
	}
	if q.Breakdown {
		b.recipients, b.senders = newRanker(rankedKeys), newRanker(rankedKeys)
		b.examples = map[Category]*ranker{}
	}
	return b
}

// add counts a message for the given recipients among its own.
func (b *breakdownBuilder) add(m *Message, recipients []Recipient, age time.Duration) {
	b.addReasons(m.Queue, recipients)
	if b.recipients == nil {
		return
	}
	column := ageColumn(age)
	if m.Sender != "" { // without one the line was unreadable
		b.senders.add(domainOf(m.Sender), column)
	}
	for _, r := range recipients {
		b.recipients.add(domainOf(r.Address), column)
	}
}

func (b *breakdownBuilder) addReasons(name Name, recipients []Recipient) {
	switch name {
	case Hold:
		b.counts[OnHold]++
		return
	case Deferred, "": // if a listing does not name the queue, only deferred mail has reasons
	default:
		return
	}
	b.seen = b.seen[:0]
	for _, r := range recipients {
		if r.Reason == "" {
			continue
		}
		category := b.classifier.classify(r.Reason)
		if !slices.Contains(b.seen, category) {
			b.seen = append(b.seen, category)
			b.counts[category]++
			b.addExample(category, r.Reason)
		}
	}
	if len(b.seen) == 0 && name == Deferred {
		b.counts[Unrecorded]++
	}
}

func (b *breakdownBuilder) addExample(category Category, reason string) {
	if b.examples == nil {
		return
	}
	if b.examples[category] == nil {
		b.examples[category] = newRanker(rankedExamples)
	}
	b.examples[category].add(firstBytes(strings.TrimPrefix(reason, suspended), maxExample), 0)
}

// suspended is what the queue manager puts before the reason of a message that it did not try because another one
// to the same destination was deferred: qmgr_deliver.c, qmgr_error.c.
const suspended = "delivery temporarily suspended: "

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

func (b *breakdownBuilder) breakdown() *Breakdown {
	if b.recipients == nil {
		return nil
	}
	result := &Breakdown{Recipients: b.recipients.ranking(rankingRows), Senders: b.senders.ranking(rankingRows)}
	for category, messages := range b.counts {
		if messages == 0 {
			continue
		}
		row := ReasonCount{Category: category, Messages: messages}
		if examples := b.examples[category]; examples != nil {
			row.Example = examples.first()
		}
		result.Reasons = append(result.Reasons, row)
	}
	slices.SortFunc(result.Reasons, func(a, b ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Category, b.Category))
	})
	return result
}
