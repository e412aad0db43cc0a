package snapshot

import (
	"errors"
	"fmt"

	"example.org/postfix-queue-monitor/internal/queue"
)

// counts are numbers of an instance that are absent if they are unknown.
type counts struct {
	Arrived5m       *int64 `json:"arrived_5m,omitempty"`
	Arrived1h       *int64 `json:"arrived_1h,omitempty"`
	Future          *int64 `json:"future,omitempty"`
	Expiring        *int64 `json:"expiring,omitempty"`
	SpoolFree       *int64 `json:"spool_free,omitempty"` // bytes
	SpoolFreeInodes *int64 `json:"spool_free_inodes,omitempty"`
}

func toCounts(s *queue.Summary) counts {
	doc := counts{Expiring: s.Expiring}
	if a := s.Arrivals; a != nil {
		doc.Arrived5m, doc.Arrived1h, doc.Future = &a.Last5m, &a.Last1h, &a.Ahead
	}
	if s.Space != nil {
		doc.SpoolFree, doc.SpoolFreeInodes = &s.Space.FreeBytes, s.Space.FreeInodes
	}
	return doc
}

// addTo sets what the document knows. The total is set already.
func (doc *counts) addTo(s *queue.Summary) error {
	for name, n := range map[string]*int64{
		"arrived_5m": doc.Arrived5m, "arrived_1h": doc.Arrived1h, "future": doc.Future, "expiring": doc.Expiring,
		"spool_free": doc.SpoolFree, "spool_free_inodes": doc.SpoolFreeInodes,
	} {
		if n != nil && *n < 0 {
			return fmt.Errorf("%s is negative", name)
		}
	}
	switch {
	case doc.Arrived5m != nil && doc.Arrived1h != nil && doc.Future != nil:
		s.Arrivals = &queue.Arrivals{Last5m: *doc.Arrived5m, Last1h: *doc.Arrived1h, Ahead: *doc.Future}
		if s.Arrivals.Last5m > s.Arrivals.Last1h || s.Arrivals.Last1h > s.Total.Messages || s.Arrivals.Ahead > s.Total.Messages {
			return errors.New("arrived_5m, arrived_1h, future and the total contradict each other")
		}
	case doc.Arrived5m != nil || doc.Arrived1h != nil || doc.Future != nil:
		return errors.New("one of arrived_5m, arrived_1h and future is missing")
	}
	switch {
	case doc.SpoolFree != nil:
		s.Space = &queue.Space{FreeBytes: *doc.SpoolFree, FreeInodes: doc.SpoolFreeInodes}
	case doc.SpoolFreeInodes != nil:
		return errors.New("spool_free is missing")
	}
	if s.Expiring = doc.Expiring; s.Expiring != nil && *s.Expiring > s.Total.Messages {
		return errors.New("expiring is more than the total")
	}
	return nil
}

// trouble is a way in which mail does not move.
type trouble struct {
	Name        string `json:"name"`
	Severity    string `json:"severity"`
	Messages    int64  `json:"messages,omitempty"`
	Since       int64  `json:"since,omitempty"`
	Active      int64  `json:"active,omitempty"`
	NoneTaken   bool   `json:"none_taken,omitempty"`
	FreeBytes   int64  `json:"free_bytes,omitempty"`
	NeededBytes int64  `json:"needed_bytes,omitempty"`
}

func toTroubles(list []queue.Trouble) (doc []trouble) {
	for _, t := range list {
		row := trouble{
			Name: t.Name, Severity: t.Severity.String(), Messages: t.Messages, Active: t.Active, NoneTaken: t.NoneTaken,
			FreeBytes: t.FreeBytes, NeededBytes: t.NeededBytes,
		}
		if !t.Since.IsZero() {
			row.Since = t.Since.Unix()
		}
		doc = append(doc, row)
	}
	return doc
}

// maxTroubles is more than there are kinds of troubles.
const maxTroubles = 20

func fromTroubles(doc []trouble) (list []queue.Trouble, err error) {
	if len(doc) > maxTroubles {
		return nil, fmt.Errorf("there are %d", len(doc))
	}
	for _, row := range doc {
		severity, known := queue.ParseSeverity(row.Severity)
		switch {
		case row.Name == "":
			return nil, errors.New("one has no name")
		case !known:
			return nil, fmt.Errorf(`%s has an unknown severity "%s"`, row.Name, row.Severity)
		case min(row.Messages, row.Since, row.Active, row.FreeBytes, row.NeededBytes) < 0:
			return nil, fmt.Errorf("%s has a negative number", row.Name)
		}
		t := queue.Trouble{
			Name: row.Name, Severity: severity, Messages: row.Messages, Active: row.Active, NoneTaken: row.NoneTaken,
			FreeBytes: row.FreeBytes, NeededBytes: row.NeededBytes,
		}
		if row.Since != 0 {
			var err error
			if t.Since, err = toTime(row.Name+": since", row.Since); err != nil {
				return nil, err
			}
		}
		list = append(list, t)
	}
	return list, nil
}
