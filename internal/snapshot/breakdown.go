package snapshot

import (
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
	doc := &breakdown{Recipients: toRanking(b.Recipients), Senders: toRanking(b.Senders)}
	for _, r := range b.Reasons {
		doc.Reasons = append(doc.Reasons, reasonCount(r))
	}
	return doc
}

func toRanking(r queue.Ranking) ranking {
	doc := ranking{Rows: []rankingRow{}, Total: rankingRow(r.Total), MaxUndercount: r.MaxUndercount}
	for _, row := range r.Rows {
		doc.Rows = append(doc.Rows, rankingRow(row))
	}
	return doc
}

// toQueue returns the breakdown that was written, nil if there was none.
func (doc *breakdown) toQueue() (*queue.Breakdown, error) {
	if doc == nil {
		return nil, nil //nolint:nilnil // no breakdown, and nothing wrong with that
	}
	var b queue.Breakdown
	var err error
	if b.Recipients, err = doc.Recipients.toQueue(); err != nil {
		return nil, err
	}
	if b.Senders, err = doc.Senders.toQueue(); err != nil {
		return nil, err
	}
	for _, r := range doc.Reasons {
		if r.Messages < 0 {
			return nil, errors.New("a reason has a negative count")
		}
		b.Reasons = append(b.Reasons, queue.ReasonCount(r))
	}
	return &b, nil
}

func (doc *ranking) toQueue() (queue.Ranking, error) {
	r := queue.Ranking{Total: queue.RankingRow(doc.Total), MaxUndercount: doc.MaxUndercount}
	if r.MaxUndercount < 0 || r.Total.Count < 0 {
		return r, errors.New("a ranking has a negative count")
	}
	rest := r.Total
	for _, row := range doc.Rows {
		r.Rows = append(r.Rows, queue.RankingRow(row))
		rest.Count -= row.Count
		if row.Count < 0 || rest.Count < 0 {
			return r, errors.New("a ranking does not add up to its total")
		}
		for i := range rest.ByAge {
			rest.ByAge[i] -= row.ByAge[i]
			if row.ByAge[i] < 0 || rest.ByAge[i] < 0 {
				return r, errors.New("a ranking does not add up to its total")
			}
		}
	}
	return r, nil
}
