package snapshot

import (
	"cmp"
	"errors"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
)

type breakdown struct {
	Logins       *owners       `json:"logins,omitempty"`
	Clients      *owners       `json:"clients,omitempty"`
	Senders      owners        `json:"sender_domains"`
	Problems     []problem     `json:"problems"`
	MoreProblems bool          `json:"more_problems,omitempty"`
	Recipients   ranking       `json:"recipients"`
	Domains      distinct      `json:"recipient_domains"`
	NextTries    *span         `json:"next_tries,omitempty"`
	Largest      *largeMessage `json:"largest,omitempty"`
}

type distinct struct {
	Number  int64 `json:"number"`
	AtLeast bool  `json:"at_least,omitempty"`
}

type owners struct {
	Rows          []owner  `json:"rows"`
	Number        distinct `json:"different"`
	Messages      int64    `json:"messages"`
	MaxUndercount int64    `json:"error,omitempty"`
}

type owner struct {
	Key      string   `json:"key"`
	Messages int64    `json:"messages"`
	Logins   distinct `json:"logins,omitzero"`
	Clients  distinct `json:"clients,omitzero"`
	Domains  distinct `json:"sender_domains,omitzero"`
}

type problem struct {
	NextHop    string         `json:"next_hop,omitempty"`
	Hosts      int64          `json:"hosts,omitempty"`
	Code       string         `json:"code,omitempty"`
	Status     string         `json:"status,omitempty"`
	Category   queue.Category `json:"category"`
	Held       bool           `json:"held,omitempty"`
	Text       string         `json:"text,omitempty"`
	Messages   int64          `json:"messages"`
	Recipients int64          `json:"recipients"`
	Domains    distinct       `json:"domains"`
	Only       string         `json:"only,omitempty"`
	Oldest     int64          `json:"oldest_arrival,omitempty"`
	Newest     int64          `json:"newest_arrival,omitempty"`
}

type span struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

type largeMessage struct {
	ID      string `json:"id"`
	Sender  string `json:"sender"`
	Waiting int64  `json:"waiting"`
	Done    int64  `json:"done"`
}

type ranking struct {
	Rows          []rankingRow `json:"rows"`
	Total         rankingRow   `json:"total"`
	MaxUndercount int64        `json:"error,omitempty"`
}

type rankingRow struct {
	Key   string                  `json:"key,omitempty"`
	Count int64                   `json:"count"`
	ByAge [queue.AgeColumns]int64 `json:"by_age"`
}

func toBreakdown(s *queue.Summary) *breakdown {
	b := s.Breakdown
	if b == nil {
		return nil
	}
	doc := &breakdown{
		Senders: *toOwners(b.Senders), Problems: convert(b.Problems, toProblem), MoreProblems: b.MoreProblems,
		Recipients: toRanking(b.Recipients), Domains: distinct(b.Domains),
	}
	if s.KnowsClients {
		doc.Logins, doc.Clients = toOwners(b.Logins), toOwners(b.Clients)
	}
	if b.NextTries != (queue.Span{}) {
		doc.NextTries = &span{b.NextTries.First.Unix(), b.NextTries.Last.Unix()}
	}
	if b.Largest.ID != "" {
		largest := largeMessage(b.Largest)
		doc.Largest = &largest
	}
	return doc
}

func toOwners(o queue.Owners) *owners {
	rows := convert(o.Rows, func(row queue.Owner) owner {
		return owner{row.Key, row.Messages, distinct(row.Logins), distinct(row.Clients), distinct(row.Domains)}
	})
	return &owners{rows, distinct(o.Number), o.Messages, o.MaxUndercount}
}

func toProblem(p queue.Problem) problem {
	return problem{
		p.NextHop, p.Hosts, p.Code, p.Status, p.Category, p.Held, p.Text, p.Messages, p.Recipients, distinct(p.Domains), p.Only,
		seconds(p.Oldest), seconds(p.Newest),
	}
}

// seconds returns a time in seconds since 1970, 0 if it is unknown.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// fromSeconds returns the time that seconds was written from.
func fromSeconds(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return queue.ArrivalTime(n)
}

func toRanking(r queue.Ranking) ranking {
	rows := convert(r.Rows, func(row queue.RankingRow) rankingRow { return rankingRow(row) })
	return ranking{Rows: rows, Total: rankingRow(r.Total), MaxUndercount: r.MaxUndercount}
}

func convert[From, To any](list []From, to func(From) To) []To {
	converted := make([]To, len(list))
	for i, item := range list {
		converted[i] = to(item)
	}
	return converted
}

// toQueue returns the breakdown that was written, nil if there was none.
func (doc *breakdown) toQueue() (*queue.Breakdown, error) {
	if doc == nil {
		return nil, nil //nolint:nilnil // no breakdown, and nothing wrong with that
	}
	b := &queue.Breakdown{MoreProblems: doc.MoreProblems, Recipients: doc.Recipients.toQueue(), Domains: queue.Distinct(doc.Domains)}
	err := doc.Recipients.check()
	if doc.Domains.Number < 0 {
		err = errors.New("recipient_domains is negative")
	}
	for _, kind := range []struct {
		from *owners
		to   *queue.Owners
	}{{doc.Logins, &b.Logins}, {doc.Clients, &b.Clients}, {&doc.Senders, &b.Senders}} {
		if kind.from != nil {
			*kind.to = kind.from.toQueue()
			err = cmp.Or(err, kind.from.check())
		}
	}
	for _, p := range doc.Problems {
		if min(p.Messages, p.Recipients, p.Hosts, p.Domains.Number) < 0 {
			return nil, errors.New("a problem has a negative count")
		}
		b.Problems = append(b.Problems, p.toQueue())
	}
	if doc.NextTries != nil {
		b.NextTries = queue.Span{First: queue.ArrivalTime(doc.NextTries.First), Last: queue.ArrivalTime(doc.NextTries.Last)}
	}
	if doc.Largest != nil {
		b.Largest = queue.LargeMessage(*doc.Largest)
		if min(b.Largest.Waiting, b.Largest.Done) < 0 {
			return nil, errors.New("largest has a negative count")
		}
	}
	return b, err
}

func (doc *owners) toQueue() queue.Owners {
	rows := convert(doc.Rows, func(row owner) queue.Owner {
		return queue.Owner{
			Key: row.Key, Messages: row.Messages,
			Logins: queue.Distinct(row.Logins), Clients: queue.Distinct(row.Clients), Domains: queue.Distinct(row.Domains),
		}
	})
	return queue.Owners{Rows: rows, Number: queue.Distinct(doc.Number), Messages: doc.Messages, MaxUndercount: doc.MaxUndercount}
}

// check returns an error if the rows cannot be part of the whole.
func (doc *owners) check() error {
	rest := doc.Messages
	for _, row := range doc.Rows {
		rest -= row.Messages
		if min(row.Messages, rest, row.Logins.Number, row.Clients.Number, row.Domains.Number) < 0 {
			return errors.New("logins, clients or sender_domains do not add up")
		}
	}
	if min(rest, doc.Number.Number, doc.MaxUndercount) < 0 {
		return errors.New("logins, clients or sender_domains have a negative count")
	}
	return nil
}

func (p *problem) toQueue() queue.Problem {
	return queue.Problem{
		NextHop: p.NextHop, Hosts: p.Hosts, Code: p.Code, Status: p.Status, Category: p.Category, Held: p.Held, Text: p.Text,
		Messages: p.Messages, Recipients: p.Recipients, Domains: queue.Distinct(p.Domains), Only: p.Only,
		Oldest: fromSeconds(p.Oldest), Newest: fromSeconds(p.Newest),
	}
}

func (doc *ranking) toQueue() queue.Ranking {
	rows := convert(doc.Rows, func(row rankingRow) queue.RankingRow { return queue.RankingRow(row) })
	return queue.Ranking{Rows: rows, Total: queue.RankingRow(doc.Total), MaxUndercount: doc.MaxUndercount}
}

// check returns an error if the rows cannot be part of the total.
func (doc *ranking) check() error {
	rest := doc.Total
	for _, row := range append([]rankingRow{{}}, doc.Rows...) {
		rest.Count -= row.Count
		impossible := row.Count < 0 || rest.Count < 0
		for i := range rest.ByAge {
			rest.ByAge[i] -= row.ByAge[i]
			impossible = impossible || row.ByAge[i] < 0 || rest.ByAge[i] < 0
		}
		if impossible {
			return errors.New("a ranking does not add up to its total")
		}
	}
	if doc.MaxUndercount < 0 {
		return errors.New("a ranking has a negative count")
	}
	return nil
}
