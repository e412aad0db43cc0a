package snapshot

import (
	"errors"

	"example.org/postfix-queue-monitor/internal/queue"
)

type findings struct {
	Sample  int64           `json:"sample"`
	IsWhole bool            `json:"whole,omitempty"`
	Sender  *senderFinding  `json:"sender,omitempty"`
	Problem *problemFinding `json:"problem,omitempty"`
}

type senderFinding struct {
	Kind    queue.SenderKind `json:"kind"`
	Percent int64            `json:"percent"`
}

type problemFinding struct {
	NextHop     string         `json:"next_hop,omitempty"`
	Code        string         `json:"code,omitempty"`
	Status      string         `json:"status,omitempty"`
	Category    queue.Category `json:"category"`
	Percent     int64          `json:"percent"`
	ManyDomains bool           `json:"many_domains,omitempty"`
}

func toFindings(f *queue.Findings) *findings {
	if f == nil {
		return nil
	}
	doc := &findings{Sample: f.Sample, IsWhole: f.IsWhole}
	if f.Sender != nil {
		sender := senderFinding(*f.Sender)
		doc.Sender = &sender
	}
	if f.Problem != nil {
		problem := problemFinding(*f.Problem)
		doc.Problem = &problem
	}
	return doc
}

// toQueue returns the findings that were written, nil if there were none.
func (doc *findings) toQueue() (*queue.Findings, error) {
	if doc == nil {
		return nil, nil //nolint:nilnil // no findings, and nothing wrong with that
	}
	f := &queue.Findings{Sample: doc.Sample, IsWhole: doc.IsWhole}
	if doc.Sender != nil {
		sender := queue.SenderFinding(*doc.Sender)
		f.Sender = &sender
		if !isPercent(sender.Percent) {
			return nil, errors.New("the share of a sender is not a percentage")
		}
	}
	if doc.Problem != nil {
		problem := queue.ProblemFinding(*doc.Problem)
		f.Problem = &problem
		if !isPercent(problem.Percent) {
			return nil, errors.New("the share of a problem is not a percentage")
		}
	}
	return f, nil
}

func isPercent(n int64) bool { return 0 <= n && n <= 100 }

// tops are in the document of a summary that has them.
type tops struct {
	Login  *top `json:"login,omitempty"`
	Client *top `json:"client,omitempty"`
	Sender top  `json:"sender_domain"`
	Domain top  `json:"domain"`
}

type top struct {
	Messages      int64 `json:"messages"`
	MaxUndercount int64 `json:"error,omitempty"`
}

func toTops(t *queue.Tops) *tops {
	if t == nil {
		return nil
	}
	doc := &tops{Sender: top(t.Sender), Domain: top(t.Domain)}
	if t.Login != nil && t.Client != nil {
		login, client := top(*t.Login), top(*t.Client)
		doc.Login, doc.Client = &login, &client
	}
	return doc
}

// toQueue returns the tops that were written, nil if there were none.
func (doc *tops) toQueue() (*queue.Tops, error) {
	if doc == nil {
		return nil, nil //nolint:nilnil // no tops, and nothing wrong with that
	}
	t := &queue.Tops{Sender: queue.Top(doc.Sender), Domain: queue.Top(doc.Domain)}
	all := []top{doc.Sender, doc.Domain}
	if doc.Login != nil && doc.Client != nil {
		login, client := queue.Top(*doc.Login), queue.Top(*doc.Client)
		t.Login, t.Client = &login, &client
		all = append(all, *doc.Login, *doc.Client)
	}
	for _, one := range all {
		if min(one.Messages, one.MaxUndercount) < 0 {
			return nil, errors.New("a count is negative")
		}
	}
	return t, nil
}
