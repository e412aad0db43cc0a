package queue

import (
	"cmp"
	"container/heap"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Findings are what most messages have in common. They name nobody whose mail it is.
type Findings struct {
	// Sample is how many messages were looked at: all, or those with the least hashes of their queue IDs, so that one
	// queue gives one answer.
	Sample  int64
	IsWhole bool            // the sample is all messages
	Sender  *SenderFinding  // nil: no sender has that much
	Problem *ProblemFinding // nil: no problem has that much, or there was no time to look
}

// SenderFinding is the share of the messages that come from one sender.
type SenderFinding struct {
	Kind    SenderKind
	Percent int64
}

// SenderKind is what messages of one sender have in common.
type SenderKind string

// The kinds of senders.
const (
	OneLogin        SenderKind = "login"
	OneClient       SenderKind = "client"
	OneSenderDomain SenderKind = "sender_domain"
	NoSender        SenderKind = "null_sender" // bounces and other notices
)

// ProblemFinding is the share of the messages that have one problem.
type ProblemFinding struct {
	NextHop      string
	Code, Status string
	Category     Category
	Percent      int64
	ManyDomains  bool // it concerns recipients in many domains
}

// minFinding is the least share that is worth a finding, in percent.
const minFinding = 40

// leastFindings is the fewest messages, or recipients, that can have something in common that is worth saying.
const leastFindings = 5

// manyDomains is the number of recipient domains from which on the cause is what they share: the next hop, or the
// resolver.
const manyDomains = 5

// sampleSize is the most messages that findings rest on: enough for a share to be within 5 points.
const sampleSize = 1000

// Limits of what is kept of a message in the sample.
const (
	maxSampledReasons = 4
	maxSampledReason  = 512 // bytes
)

// sample is the messages with the least hashes of their queue IDs.
type sample struct {
	messages int64 // that it was taken from
	kept     sampleHeap
}

type sampledMessage struct {
	hash uint64
	*Message
}

// sampleHeap has the greatest hash first.
type sampleHeap []sampledMessage

func (h sampleHeap) Len() int           { return len(h) }
func (h sampleHeap) Less(i, j int) bool { return h[i].compare(h[j].hash, h[j].ID) > 0 }
func (h sampleHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *sampleHeap) Push(x any)        { *h = append(*h, x.(sampledMessage)) }
func (h *sampleHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (m sampledMessage) compare(hash uint64, id string) int {
	return cmp.Or(cmp.Compare(m.hash, hash), cmp.Compare(m.ID, id))
}

// hashID returns a hash of a queue ID that is the same in every run: FNV-1a, and the finalizer of MurmurHash3, which
// makes its high bits as good as the low ones.
func hashID(id string) uint64 {
	hash := uint64(0xcbf29ce484222325)
	for i := range len(id) {
		hash = (hash ^ uint64(id[i])) * 0x100000001b3
	}
	hash = (hash ^ hash>>33) * 0xff51afd7ed558ccd
	hash = (hash ^ hash>>33) * 0xc4ceb9fe1a85ec53
	return hash ^ hash>>33
}

// add adds a message. recipients are those of its recipients that the filter admits.
func (s *sample) add(m *Message, recipients []Recipient) {
	s.messages++
	hash := hashID(m.ID)
	if len(s.kept) >= sampleSize {
		if s.kept[0].compare(hash, m.ID) <= 0 {
			return
		}
		heap.Pop(&s.kept)
	}
	heap.Push(&s.kept, sampledMessage{hash, excerpt(m, recipients)})
}

// excerpt returns a copy of a message with a few of the given recipients, those that wait for different reasons.
func excerpt(m *Message, recipients []Recipient) *Message {
	kept := &Message{
		Queue: m.Queue, ID: strings.Clone(m.ID), Sender: strings.Clone(m.Sender), Login: strings.Clone(m.Login),
		Client: strings.Clone(m.Client), ContentFilter: strings.Clone(m.ContentFilter), Arrival: m.Arrival,
	}
	for _, r := range recipients {
		kept.AddReason(r.Address, r.Reason)
	}
	return kept
}

// AddReason adds a recipient with its reason to a message of a sample, which needs only a few different reasons.
func (m *Message) AddReason(address, reason string) {
	reason = firstBytes(withoutSuspended(reason), maxSampledReason)
	if reason == "" || len(m.Recipients) >= maxSampledReasons ||
		slices.ContainsFunc(m.Recipients, func(r Recipient) bool { return r.Reason == reason }) {
		return
	}
	m.Recipients = append(m.Recipients, Recipient{strings.Clone(address), strings.Clone(reason)})
}

// findings returns what most messages have in common. It asks a source that has not read the deferral reasons for those
// of the sample, but never for long.
func (s *sample) findings(ctx context.Context, source Source, f Filter, depth Depth) *Findings {
	result := &Findings{Sample: int64(len(s.kept)), IsWhole: s.messages <= sampleSize}
	var messages []*Message
	for _, m := range s.kept {
		messages = append(messages, m.Message)
	}
	if len(messages) >= leastFindings {
		result.Sender = findSender(messages)
	}
	if live, ok := source.(LiveSource); ok && depth == Envelopes {
		var err error
		if messages, err = withReasons(ctx, live, messages); err != nil {
			return result
		}
	}
	if f.Recipients != nil { // a log has those that the filter does not admit, too
		for _, m := range messages {
			m.Recipients = slices.DeleteFunc(m.Recipients, func(r Recipient) bool { return !f.admitsRecipient(r) })
		}
	}
	result.Problem = findProblem(messages)
	return result
}

// maxFindingsTime is the most that reading the reasons of a sample may take.
const maxFindingsTime = time.Second

// withReasons returns the messages with their deferral reasons. It returns in time even if the disk hangs: everything
// else is known already.
func withReasons(ctx context.Context, source LiveSource, messages []*Message) ([]*Message, error) {
	limit := maxFindingsTime
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	type answer struct {
		messages []*Message
		err      error
	}
	answers := make(chan answer, 1)
	go func() {
		a := answer{messages: make([]*Message, len(messages))}
		for i, m := range messages {
			a.messages[i] = new(*m)
		}
		a.err = Guard(func() error { return source.AddReasons(ctx, a.messages) })
		answers <- a
	}()
	select {
	case a := <-answers:
		return a.messages, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// percentOf returns the share of n in the whole, rounded down; 0 if it is not worth a finding.
func percentOf(n, whole int64) int64 {
	if whole == 0 || n*100 < minFinding*whole {
		return 0
	}
	return n * 100 / whole
}

// findSender returns the sender that most messages come from.
func findSender(messages []*Message) *SenderFinding {
	counter := newOwnersCounter(newDistinctCounters())
	for _, m := range messages {
		counter.add(m)
	}
	b := Breakdown{Logins: counter.logins.owners(), Clients: counter.clients.owners(), Senders: counter.senders.owners()}
	kind, owner := b.MainSender(int64(len(messages)))
	if kind == "" {
		return nil
	}
	return &SenderFinding{kind, percentOf(owner.Messages, int64(len(messages)))}
}

// MainSender returns the sender with most of the given number of messages: a login; else the null sender; else a client
// address other than this machine's; else a sender domain. The kind is empty if none has enough.
func (b *Breakdown) MainSender(messages int64) (kind SenderKind, owner Owner) {
	most := func(owners Owners, isSuitable func(string) bool) (Owner, bool) {
		if len(owners.Rows) == 0 {
			return Owner{}, false
		}
		first := owners.Rows[0]
		return first, percentOf(first.Messages, messages) > 0 && isSuitable(first.Key)
	}
	for _, candidate := range []struct {
		kind       SenderKind
		owners     Owners
		isSuitable func(string) bool
	}{
		{OneLogin, b.Logins, func(string) bool { return true }},
		{NoSender, b.Senders, func(domain string) bool { return domain == NullSender }},
		{OneClient, b.Clients, func(client string) bool { return !isLoopback(client) }},
		// That all mail comes from one domain says nothing: it is that of this site.
		{OneSenderDomain, b.Senders, func(domain string) bool { return domain != NoDomain && b.Senders.Number.Number > 1 }},
	} {
		if owner, found := most(candidate.owners, candidate.isSuitable); found {
			return candidate.kind, owner
		}
	}
	return "", Owner{}
}

func isLoopback(client string) bool {
	address, err := netip.ParseAddr(client)
	return err == nil && address.Unmap().IsLoopback()
}

// findProblem returns the problem that most messages have.
func findProblem(messages []*Message) *ProblemFinding {
	problems := newProblemCounter(newDistinctCounters())
	for _, m := range messages {
		problems.count(m, m.Recipients)
	}
	for _, row := range problems.sorted() {
		percent := percentOf(row.count, int64(len(messages)))
		if percent == 0 {
			break
		}
		if row.row.held || slices.Contains([]Category{OnHold, InMaildrop, Unrecorded}, row.row.category) {
			continue // what is said about these queues says it already
		}
		p := row.row.problem(row.count)
		return &ProblemFinding{p.NextHop, p.Code, p.Status, p.Category, percent, p.Domains.Number >= manyDomains}
	}
	return nil
}
