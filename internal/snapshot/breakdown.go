package snapshot

import (
	"cmp"
	"errors"

	"example.org/postfix-queue-monitor/internal/queue"
)

type breakdown struct {
	Recipients ranking       `json:"recipients"`
	Senders    ranking       `json:"senders"`
	Reasons    []reasonCount `json:"reasons"`
}

type reasonCount struct {
	Category queue.Category `json:"category"`
	Messages int64          `json:"messages"`
	Example  string         `json:"example,omitempty"`
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

func toBreakdown(b *queue.Breakdown) *breakdown {
	if b == nil {
		return nil
	}
	return &breakdown{
		Recipients: toRanking(b.Recipients),
		Senders:    toRanking(b.Senders),
		Reasons:    convert(b.Reasons, func(r queue.ReasonCount) reasonCount { return reasonCount(r) }),
	}
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
	for _, r := range doc.Reasons {
		if r.Messages < 0 {
			return nil, errors.New("a reason has a negative count")
		}
	}
	return &queue.Breakdown{
		Recipients: doc.Recipients.toQueue(),
		Senders:    doc.Senders.toQueue(),
		Reasons:    convert(doc.Reasons, func(r reasonCount) queue.ReasonCount { return queue.ReasonCount(r) }),
	}, cmp.Or(doc.Recipients.check(), doc.Senders.check())
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
