package queue

// Tops are the messages of the one that has most.
type Tops struct {
	Login, Client *Top // nil if the source does not know
	Sender        Top  // domain
	Domain        Top  // of recipients: messages with at least one waiting there
}

// Top is a number of messages.
type Top struct {
	Messages      int64
	MaxUndercount int64 // by how much that may be too low
}

// topCounter finds the login, the client and the domains that have most messages.
type topCounter struct {
	logins, clients, senders *frequent[struct{}]
	domains                  *frequent[int64] // with the number of the message that was counted last
	messages                 int64
}

func newTopCounter() *topCounter {
	return &topCounter{
		logins: newFrequent[struct{}](rankedKeys), clients: newFrequent[struct{}](rankedKeys),
		senders: newFrequent[struct{}](rankedKeys), domains: newFrequent[int64](rankedKeys),
	}
}

func (c *topCounter) add(m *Message, recipients []Recipient) {
	for _, item := range []struct {
		counter *frequent[struct{}]
		key     string
	}{{c.logins, m.Login}, {c.clients, m.Client}, {c.senders, senderDomain(m)}} {
		if item.key != "" {
			item.counter.add(item.key)
		}
	}
	c.messages++
	for _, r := range recipients {
		domain := domainOf(r.Address)
		if known := c.domains.rows[domain]; known == nil || known.row != c.messages {
			c.domains.add(domain).row = c.messages
		}
	}
}

func (c *topCounter) tops(facts Facts) *Tops {
	t := &Tops{Sender: top(c.senders), Domain: top(c.domains)}
	if facts.KnowsClients {
		login, client := top(c.logins), top(c.clients)
		t.Login, t.Client = &login, &client
	}
	return t
}

func top[Row any](f *frequent[Row]) Top {
	t := Top{MaxUndercount: f.taken}
	for _, c := range f.rows {
		t.Messages = max(t.Messages, c.count)
	}
	return t
}
