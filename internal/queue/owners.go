package queue

// Owner is a login, a client or a sender domain: somebody whose mail is in the queue.
type Owner struct {
	Key      string
	Messages int64
	// How many different logins, client addresses and sender domains its messages have. It is 0 for the one that it is
	// itself, and for logins and clients if the source does not know them.
	Logins, Clients, Domains Distinct
}

// Owners are those of one kind that have most messages.
type Owners struct {
	Rows          []Owner // the one with most first
	Number        Distinct
	Messages      int64 // that have an owner of this kind
	MaxUndercount int64 // as in Ranking
}

const (
	maxOwners   = 512
	shownOwners = 20 // in a Breakdown
)

type ownerRow struct{ logins, clients, domains distinctCounter }

// ownerCounter finds the owners of one kind that have most messages.
type ownerCounter struct {
	*frequent[ownerRow]
	distinct *distinctCounters
	all      distinctCounter
	messages int64
}

func newOwnerCounter(distinct *distinctCounters) *ownerCounter {
	o := &ownerCounter{frequent: newFrequent[ownerRow](maxOwners), distinct: distinct}
	o.forget = func(row *ownerRow) {
		for _, d := range []*distinctCounter{&row.logins, &row.clients, &row.domains} {
			d.forget(distinct)
		}
	}
	return o
}

// add counts a message of an owner; none if its name is empty.
func (o *ownerCounter) add(name, login, client, domain string) {
	if name == "" {
		return
	}
	o.messages++
	o.all.add(o.distinct, name)
	row := &o.frequent.add(name).row
	for _, d := range []struct {
		counter *distinctCounter
		text    string
	}{{&row.logins, login}, {&row.clients, client}, {&row.domains, domain}} {
		if d.text != "" {
			d.counter.add(o.distinct, d.text)
		}
	}
}

func (o *ownerCounter) owners() Owners {
	result := Owners{Number: o.all.number(), Messages: o.messages, MaxUndercount: o.taken}
	for _, c := range o.certain(shownOwners) {
		result.Rows = append(result.Rows,
			Owner{c.key, c.count, c.row.logins.number(), c.row.clients.number(), c.row.domains.number()})
	}
	return result
}

// ownersCounter counts the messages of each login, client address and sender domain.
type ownersCounter struct{ logins, clients, senders *ownerCounter }

func newOwnersCounter(distinct *distinctCounters) *ownersCounter {
	return &ownersCounter{newOwnerCounter(distinct), newOwnerCounter(distinct), newOwnerCounter(distinct)}
}

func (o *ownersCounter) add(m *Message) {
	domain := senderDomain(m)
	o.logins.add(m.Login, "", m.Client, domain)
	o.clients.add(m.Client, m.Login, "", domain)
	o.senders.add(domain, m.Login, m.Client, "")
}

// senderDomain returns the domain of a message's sender, empty if its line was unreadable.
func senderDomain(m *Message) string {
	if m.Sender == "" {
		return ""
	}
	return domainOf(m.Sender)
}
