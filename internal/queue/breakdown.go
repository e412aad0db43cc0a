package queue

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Breakdown says what the messages of a Summary are. It takes the same memory
// whatever is in the queue.
type Breakdown struct {
	Recipients Ranking `json:"recipients"` // those that wait, by domain
	Senders    Ranking `json:"senders"`    // messages, by the sender's domain
	// Reasons says why messages wait that are deferred or on hold, in the order
	// of how many they are. A message whose recipients wait for different
	// reasons counts for each.
	Reasons []ReasonCount `json:"reasons"`
}

// ReasonCount is a category of deferral reasons.
type ReasonCount struct {
	Category Category `json:"category"`
	Messages int64    `json:"messages"`
	// Example is the most frequent reason of the category, as Postfix has it but
	// without "delivery temporarily suspended" and not longer than 240 bytes;
	// empty where there is none.
	Example string `json:"example,omitempty"`
}

const (
	rankedKeys     = 1024 // different domains that are counted at the same time
	rankedExamples = 64   // likewise different reasons of a category
	rankingRows    = 20   // domains that a Breakdown has
	maxDomain      = 255  // bytes, RFC 1035
	maxExample     = 240
)

// NoDomain is the domain of addresses that have none.
const NoDomain = "(none)"

// domainOf returns the domain of an address as a listing has it: what follows
// the last @, in lower case.
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

// gatherer makes the breakdown of a summary, and its reasons.
type gatherer struct {
	classifier *classifier
	recipients *ranker
	senders    *ranker
	counts     map[Category]int64
	examples   map[Category]*ranker
	met        []Category // in one message
}

// newGatherer returns the gatherer that a query needs, nil where it needs none.
func newGatherer(q Query) *gatherer {
	if !q.Reasons && !q.Breakdown {
		return nil
	}
	g := &gatherer{classifier: newClassifier(), counts: map[Category]int64{}}
	for _, category := range Categories() {
		g.counts[category] = 0
	}
	if q.Breakdown {
		g.recipients, g.senders = newRanker(rankedKeys), newRanker(rankedKeys)
		g.examples = map[Category]*ranker{}
	}
	return g
}

// add counts a message for those of its recipients that are given.
func (g *gatherer) add(m *Message, recipients []Recipient, age time.Duration) {
	g.addReasons(m.Queue, recipients)
	if g.recipients == nil {
		return
	}
	column := ageColumn(age)
	if m.Sender != "" { // else the line was unreadable
		g.senders.add(domainOf(m.Sender), column)
	}
	for _, r := range recipients {
		g.recipients.add(domainOf(r.Address), column)
	}
}

func (g *gatherer) addReasons(name Name, recipients []Recipient) {
	switch name {
	case Hold:
		g.counts[OnHold]++
		return
	case Deferred, "": // in a listing that does not tell, only deferred mail has reasons
	default:
		return
	}
	g.met = g.met[:0]
	for _, r := range recipients {
		if r.Reason == "" {
			continue
		}
		category := g.classifier.classify(r.Reason)
		if !slices.Contains(g.met, category) {
			g.met = append(g.met, category)
			g.counts[category]++
			g.addExample(category, r.Reason)
		}
	}
	if len(g.met) == 0 && name == Deferred {
		g.counts[Unrecorded]++
	}
}

func (g *gatherer) addExample(category Category, reason string) {
	if g.examples == nil {
		return
	}
	if g.examples[category] == nil {
		g.examples[category] = newRanker(rankedExamples)
	}
	g.examples[category].add(firstBytes(strings.TrimPrefix(reason, suspended), maxExample), 0)
}

// suspended is what the queue manager puts before the reason of a message that
// it did not try, for another one to the same destination was deferred:
// qmgr_deliver.c, qmgr_error.c.
const suspended = "delivery temporarily suspended: "

// firstBytes returns at most n bytes of a text, and no part of a character.
func firstBytes(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// breakdown returns what was gathered, nil where only reasons were counted.
func (g *gatherer) breakdown() *Breakdown {
	if g.recipients == nil {
		return nil
	}
	b := &Breakdown{Recipients: g.recipients.ranking(rankingRows), Senders: g.senders.ranking(rankingRows)}
	for category, messages := range g.counts {
		if messages == 0 {
			continue
		}
		row := ReasonCount{Category: category, Messages: messages}
		if examples := g.examples[category]; examples != nil {
			row.Example = examples.first()
		}
		b.Reasons = append(b.Reasons, row)
	}
	slices.SortFunc(b.Reasons, func(a, b ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Category, b.Category))
	})
	return b
}

// valid reports whether the breakdown can be one.
func (b *Breakdown) valid() bool {
	for _, r := range b.Reasons {
		if r.Messages < 0 {
			return false
		}
	}
	return b.Recipients.valid() && b.Senders.valid()
}
