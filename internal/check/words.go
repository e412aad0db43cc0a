package check

import (
	"fmt"
	"math"
	"slices"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/thresholds"
)

// isHeadline reports whether a metric of the summary is part of line 1 even if it does not alert.
func isHeadline(m queue.Metric, s *queue.Summary) bool {
	return slices.Contains(headlines, m.Name) && (m.Family != queue.FamilyAge || !allHeld(s))
}

// allHeld reports whether there is mail, and all of it is on hold: nobody waits for it, so its age does not
// matter.
func allHeld(s *queue.Summary) bool {
	held := s.Queues[queue.Hold]
	return held != nil && held.Messages > 0 && held.Messages == s.Total.Messages
}

// whoKnows says which source knows a metric that another one does not.
func whoKnows(m queue.Metric) queue.Text {
	switch {
	case m.Family == queue.FamilyCorrupt:
		return " (only the source spool sees these files: run this as root or the mail owner)"
	case m.Name == "expiring":
		return " (that takes the queue files and main.cf: use the source spool, as root or the mail owner)"
	case m.Name == "arrived_5m", m.Name == "arrived_1h", m.Name == "future":
		return " (neither a text listing nor an old snapshot says)"
	case m.Name == "top_login", m.Name == "top_client":
		return " (only the source spool sees logins and clients: run this as root or the mail owner, or judge a snapshot made so)"
	case m.Name == "top_sender", m.Name == "top_domain":
		return " (an old snapshot does not say)"
	case m.Name == "spool_free", m.Name == "spool_free_inodes":
		return " (a listing does not say, and not every file system counts inodes)"
	case m.Dimension == queue.ByReason:
		return ""
	}
	return " (a text listing does not say: use the output of postqueue -j)"
}

var emails, _ = queue.Lookup(thresholds.DefaultMetric)

// manyRecipients adds to the number of emails how many recipients they have, if these are ten times as many: a few
// emails to thousands of people are much mail.
func manyRecipients(m queue.Metric, s *queue.Summary) queue.Text {
	if m.Name != emails.Name || s.Total.Messages == 0 || s.Total.Recipients < 10*s.Total.Messages {
		return ""
	}
	return queue.Text(fmt.Sprintf(" to %d recipients", s.Total.Recipients))
}

// topWords are what the numbers of the one that has most are called.
var topWords = map[string]string{
	"top_login": "from one login", "top_client": "from one client address", "top_sender": "from one sender domain",
	"top_domain": "for one domain",
}

func describe(m queue.Metric, value int64) queue.Text {
	return phrase(m, m.Unit.Format(value), value)
}

func phrase(m queue.Metric, number string, value int64) queue.Text {
	text := number + " " + m.Name
	switch {
	case m.Family == queue.FamilyEmails && m.Dimension == "" && value == 1:
		text = number + " email"
	case m.Family == queue.FamilyEmails && m.Dimension == queue.ByReason:
		text = number + " deferred: " + queue.Category(m.Part).Title()
	case m.Family == queue.FamilyEmails && m.Dimension == queue.ByQueue:
		text = number + " " + m.Part
	case m.Family == queue.FamilySize && m.Dimension == "":
		text = number
	case m.Family == queue.FamilySize:
		text = m.Part + " " + number
	case m.Family == queue.FamilyAge && m.Dimension == "":
		text = "oldest " + number
	case m.Family == queue.FamilyAge:
		text = "oldest " + m.Part + " " + number
	case m.Family == queue.FamilyForcedExpire:
		text = number + " force-expired"
	case m.Name == "arrived_5m":
		text = number + " arrived in the last 5 minutes"
	case m.Name == "arrived_1h":
		text = number + " arrived in the last hour"
	case m.Name == "future":
		text = number + " from the future"
	case topWords[m.Name] != "":
		text = number + " " + topWords[m.Name]
	case isGrowth(m):
		text = growthText(number, value)
	case m.Name == "spool_free":
		text = number + " free for the queue"
	case m.Name == "spool_free_inodes":
		text = number + " inodes free for the queue"
	}
	return queue.Text(text)
}

// breach returns a metric, its value and the range that it broke. If rounding made the value look like a limit,
// both are exact.
func breach(m queue.Metric, value int64, r thresholds.Range, addition queue.Text) queue.Text {
	number, limit := m.Unit.Format(value), m.Unit.FormatLimit
	if number == limit(r.Start) || number == limit(r.End) {
		number, limit = m.Unit.FormatExact(float64(value)), m.Unit.FormatExact
	}
	return phrase(m, number, value) + addition + " (" + queue.Text(side(float64(value), r, limit)) + ")"
}

func side(value float64, r thresholds.Range, limit func(float64) string) string {
	switch {
	case !r.Inside && value > r.End:
		return "above " + limit(r.End)
	case !r.Inside:
		return "below " + limit(r.Start)
	case math.IsInf(r.Start, -1) && math.IsInf(r.End, 1):
		return "any value alerts"
	case math.IsInf(r.End, 1):
		return limit(r.Start) + " or more"
	case math.IsInf(r.Start, -1):
		return limit(r.End) + " or less"
	case r.Start == r.End:
		return "exactly " + limit(r.End)
	default:
		return "within " + limit(r.Start) + " to " + limit(r.End)
	}
}
