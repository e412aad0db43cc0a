package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
)

// document is a snapshot. Times are in seconds since 1970.
type document struct {
	Format    string     `json:"format"`
	Version   int        `json:"version"`
	Taken     *int64     `json:"taken"`
	Instances []instance `json:"instances"`
}

type instance struct {
	Name      string `json:"name"`
	ConfigDir string `json:"config_dir,omitempty"`
	Up        *bool  `json:"up"`
	Down      string `json:"down,omitempty"`  // why it is not up
	Error     string `json:"error,omitempty"` // why there are no numbers
	Source    string `json:"source,omitempty"`
	filter
	Unreadable     int64                    `json:"unreadable,omitempty"`
	Corrupt        *int64                   `json:"corrupt,omitempty"`
	NoArrivalTimes bool                     `json:"timeless,omitempty"`
	Total          *tally                   `json:"total,omitempty"`
	ByQueue        map[queue.Name]*tally    `json:"queues,omitempty"`
	Reasons        map[queue.Category]int64 `json:"deferral_reasons,omitempty"`
	counts
	Troubles  []trouble  `json:"troubles,omitempty"`
	Findings  *findings  `json:"findings,omitempty"`
	Tops      *tops      `json:"tops,omitempty"`
	Breakdown *breakdown `json:"breakdown,omitempty"`
}

type filter struct {
	Queues     []queue.Name `json:"filter_queues,omitempty"`
	Senders    []string     `json:"filter_senders,omitempty"`
	Logins     []string     `json:"filter_logins,omitempty"`
	Clients    []string     `json:"filter_clients,omitempty"`
	Recipients []string     `json:"filter_recipients,omitempty"`
	Reasons    []string     `json:"filter_reasons,omitempty"`
	OlderThan  int64        `json:"filter_older_than,omitempty"` // seconds
}

// tally has pointers to tell a member that is absent or null from a zero.
type tally struct {
	Messages     *int64 `json:"messages"`
	SizeBytes    *int64 `json:"size_bytes"`
	Recipients   *int64 `json:"recipients"`
	ForcedExpire *int64 `json:"forced_expire"`
	Oldest       *int64 `json:"oldest_arrival,omitempty"`
	// Of a queue that is not empty.
	Ages  *histogram `json:"ages,omitempty"`
	Sizes *histogram `json:"sizes,omitempty"`
}

type histogram struct {
	Until  int64   `json:"until,omitempty"` // of ages: the time that they count up to
	Bounds []int64 `json:"bounds"`
	Counts []int64 `json:"counts"`
	Sum    int64   `json:"sum"`
}

func toInstance(r queue.Reading) instance {
	up := r.Up()
	i := instance{Name: r.Instance.Name, ConfigDir: r.Instance.ConfigDir, Up: &up}
	if r.Err != nil {
		i.Error = r.Err.Error()
	}
	s := r.Summary
	if s == nil {
		return i
	}
	i.Source, i.Down, i.filter, i.Troubles = s.Source, s.Down, toFilter(s.Filter), toTroubles(s.Troubles)
	if r.Err != nil {
		return i
	}
	i.Unreadable, i.Corrupt, i.NoArrivalTimes = s.Unreadable, s.Corrupt, s.NoArrivalTimes
	i.Total = toTally(&s.Total)
	i.ByQueue = map[queue.Name]*tally{}
	for name, t := range s.Queues {
		i.ByQueue[name] = toTally(t)
	}
	i.Reasons, i.Breakdown, i.Findings, i.Tops = s.Reasons, toBreakdown(s), toFindings(s.Findings), toTops(s.Tops)
	i.counts = toCounts(s)
	return i
}

// currentCategories reports whether the counts are those of the categories that this version has. In a document of
// another version the same name may stand for something else.
func currentCategories(counts map[queue.Category]int64) bool {
	known := append(queue.Categories(), queue.OnHold, queue.Unrecorded)
	for category := range counts {
		if !slices.Contains(known, category) {
			return false
		}
	}
	for _, category := range queue.Categories() {
		if _, ok := counts[category]; !ok {
			return false
		}
	}
	return true
}

// reading returns the reading that the instance was written from. The error says what is wrong with the document.
func (i *instance) reading(now, taken time.Time) (queue.Reading, error) {
	r := queue.Reading{Instance: queue.Instance{Name: i.Name, ConfigDir: i.ConfigDir}}
	if i.Name == "" {
		return r, errors.New("it has no name")
	}
	filter, err := i.toQueue()
	if err != nil {
		return r, err
	}
	if i.Unreadable < 0 || i.Corrupt != nil && *i.Corrupt < 0 {
		return r, errors.New("unreadable or corrupt is negative")
	}
	for category, messages := range i.Reasons {
		if messages < 0 {
			return r, fmt.Errorf("deferral_reasons: %s is negative", category)
		}
	}
	if !currentCategories(i.Reasons) {
		i.Reasons = nil
	}
	s := &queue.Summary{
		Taken: now, AsOf: taken, Source: i.Source, Filter: filter, Queues: map[queue.Name]*queue.Tally{},
		Reasons: i.Reasons,
		Facts: queue.Facts{
			Down: i.Down, Unreadable: i.Unreadable, Corrupt: i.Corrupt, NoArrivalTimes: i.NoArrivalTimes,
		},
	}
	r.Summary = s
	s.KnowsClients = i.Breakdown != nil && i.Breakdown.Logins != nil
	if s.Breakdown, err = i.Breakdown.toQueue(); err != nil {
		return r, fmt.Errorf("breakdown: %w", err)
	}
	if s.Findings, err = i.Findings.toQueue(); err != nil {
		return r, fmt.Errorf("findings: %w", err)
	}
	if s.Tops, err = i.Tops.toQueue(); err != nil {
		return r, fmt.Errorf("tops: %w", err)
	}
	if s.Troubles, err = fromTroubles(i.Troubles); err != nil {
		return r, fmt.Errorf("troubles: %w", err)
	}
	switch {
	case i.Total == nil && i.Error == "":
		return r, errors.New("it has neither numbers nor an error")
	case i.Total == nil:
		s.Partial = true
		r.Err = errors.New(i.Error)
		return r, nil
	case i.Error != "":
		return r, errors.New("it has numbers and an error")
	case i.Up == nil:
		return r, errors.New("up is missing")
	}
	if *i.Up != s.Up() {
		return r, errors.New("up contradicts what else it says")
	}
	if s.Total, err = i.Total.toQueue(); err != nil {
		return r, fmt.Errorf("total: %w", err)
	}
	for _, name := range queue.Names() {
		switch doc := i.ByQueue[name]; {
		case doc != nil:
			t, err := doc.toQueue()
			if err == nil {
				t.Histograms, err = doc.histograms(taken)
			}
			if err == nil && t.Messages > i.Unreadable && t.Oldest.IsZero() && !i.NoArrivalTimes {
				err = errors.New("oldest_arrival is missing")
			}
			if err != nil {
				return r, fmt.Errorf("%s: %w", name, err)
			}
			s.Queues[name] = &t
		case s.Filter.Covers(name):
			s.Indistinct = append(s.Indistinct, name)
		}
	}
	return r, cmp.Or(i.checkSum(s), i.addTo(s))
}

// checkSum returns an error if the total cannot be that of the queues.
func (i *instance) checkSum(s *queue.Summary) error {
	var sum queue.Tally
	for name := range i.ByQueue {
		t := s.Queues[name]
		if t == nil {
			return fmt.Errorf(`unknown queue "%s"`, name)
		}
		sum.Add(t)
	}
	isWhole := len(s.Indistinct) == 0 && s.Unreadable == 0 // of an unreadable line even the queue may be unknown
	for name, numbers := range map[string][2]int64{
		"messages":      {s.Total.Messages, sum.Messages},
		"size_bytes":    {s.Total.SizeBytes, sum.SizeBytes},
		"recipients":    {s.Total.Recipients, sum.Recipients},
		"forced_expire": {s.Total.ForcedExpire, sum.ForcedExpire},
	} {
		if numbers[0] < numbers[1] || isWhole && numbers[0] != numbers[1] {
			return fmt.Errorf("%s: the total is %d, but the queues add up to %d", name, numbers[0], numbers[1])
		}
	}
	switch total := s.Total.Oldest; {
	case sum.Oldest.IsZero():
	case total.IsZero():
		return errors.New("total: oldest_arrival is missing")
	case total.After(sum.Oldest), isWhole && !total.Equal(sum.Oldest):
		return errors.New("oldest_arrival: the total and the queues contradict each other")
	}
	return nil
}

func toFilter(f queue.Filter) filter {
	return filter{
		Queues: f.Queues, Senders: f.Senders.Texts(), Recipients: f.Recipients.Texts(), Reasons: f.Reasons.Texts(),
		Logins: f.Logins.Texts(), Clients: f.Clients.Texts(), OlderThan: int64(f.OlderThan / time.Second),
	}
}

func (doc *filter) toQueue() (queue.Filter, error) {
	const longest = int64(math.MaxInt64 / time.Second)
	if doc.OlderThan < 0 || doc.OlderThan > longest {
		return queue.Filter{}, fmt.Errorf("filter_older_than is %d", doc.OlderThan)
	}
	f := queue.Filter{Queues: doc.Queues, OlderThan: time.Duration(doc.OlderThan) * time.Second}
	for i, name := range f.Queues {
		if !slices.Contains(queue.Names(), name) || slices.Contains(f.Queues[:i], name) {
			return f, fmt.Errorf(`filter_queues: "%s" is unknown or there twice`, name)
		}
	}
	if f.Queues != nil && len(f.Queues) == 0 {
		return f, errors.New("filter_queues is empty")
	}
	f.Senders, f.Recipients, f.Reasons = queue.AppliedPatterns(doc.Senders), queue.AppliedPatterns(doc.Recipients), queue.AppliedPatterns(doc.Reasons)
	f.Logins, f.Clients = queue.AppliedPatterns(doc.Logins), queue.AppliedPatterns(doc.Clients)
	return f, nil
}

func toTally(t *queue.Tally) *tally {
	doc := &tally{Messages: &t.Messages, SizeBytes: &t.SizeBytes, Recipients: &t.Recipients, ForcedExpire: &t.ForcedExpire}
	if !t.Oldest.IsZero() {
		oldest := t.Oldest.Unix()
		doc.Oldest = &oldest
	}
	if h := t.Histograms; h != nil && t.Messages > 0 {
		doc.Ages = &histogram{h.Until.Unix(), h.Ages.Bounds, h.Ages.Counts, h.Ages.Sum}
		doc.Sizes = &histogram{0, h.Sizes.Bounds, h.Sizes.Counts, h.Sizes.Sum}
	}
	return doc
}

// toQueue returns the tally without its histograms.
func (doc *tally) toQueue() (queue.Tally, error) {
	var t queue.Tally
	for _, member := range []struct {
		name  string
		value *int64
		to    *int64
	}{
		{"messages", doc.Messages, &t.Messages},
		{"size_bytes", doc.SizeBytes, &t.SizeBytes},
		{"recipients", doc.Recipients, &t.Recipients},
		{"forced_expire", doc.ForcedExpire, &t.ForcedExpire},
	} {
		switch {
		case member.value == nil:
			return t, fmt.Errorf("%s is missing", member.name)
		case *member.value < 0:
			return t, fmt.Errorf("%s is negative", member.name)
		}
		*member.to = *member.value
	}
	if doc.Oldest != nil {
		var err error
		if t.Oldest, err = toTime("oldest_arrival", *doc.Oldest); err != nil {
			return t, err
		}
	}
	return t, nil
}

// toTime returns a time of a document, in seconds since 1970. It must lie in the years up to 9999.
func toTime(member string, seconds int64) (time.Time, error) {
	t := time.Unix(seconds, 0)
	if !queue.ArrivalTime(seconds).Equal(t) {
		return t, fmt.Errorf("%s is %d", member, seconds)
	}
	return t, nil
}

// histograms returns the histograms of the tally, nil if it has none, as in snapshots of early versions.
func (doc *tally) histograms(taken time.Time) (*queue.Histograms, error) {
	switch {
	case doc.Ages != nil && doc.Sizes != nil:
		for _, h := range []*histogram{doc.Ages, doc.Sizes} {
			if err := h.check(*doc.Messages); err != nil {
				return nil, err
			}
		}
		until, err := toTime("until", doc.Ages.Until)
		if err != nil {
			return nil, err
		}
		return &queue.Histograms{
			Ages:  queue.Histogram{Bounds: doc.Ages.Bounds, Counts: doc.Ages.Counts, Sum: doc.Ages.Sum},
			Sizes: queue.Histogram{Bounds: doc.Sizes.Bounds, Counts: doc.Sizes.Counts, Sum: doc.Sizes.Sum},
			Until: until,
		}, nil
	case *doc.Messages == 0:
		return queue.NewHistograms(taken), nil
	}
	return nil, nil //nolint:nilnil // no histograms, and nothing wrong with that
}

// check returns an error if this cannot be a histogram of that many messages.
func (doc *histogram) check(messages int64) error {
	if len(doc.Bounds) == 0 || len(doc.Counts) != len(doc.Bounds)+1 || doc.Sum < 0 {
		return errors.New("a histogram is malformed")
	}
	for i := 1; i < len(doc.Bounds); i++ {
		if doc.Bounds[i] <= doc.Bounds[i-1] {
			return errors.New("the bounds of a histogram do not ascend")
		}
	}
	for _, n := range doc.Counts {
		if n < 0 || n > messages {
			return errors.New("a histogram does not add up to the messages")
		}
		messages -= n
	}
	return nil
}
