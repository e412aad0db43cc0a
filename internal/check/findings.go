package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/units"
)

// findingsText says in line 1 what most of the mail has in common.
func findingsText(s *queue.Summary) (text queue.Text) {
	f := s.Findings
	if f == nil {
		return ""
	}
	if f.Sender != nil {
		words := "from one " + senderWords[f.Sender.Kind]
		if f.Sender.Kind == queue.NoSender {
			words = "without a sender: bounces, mostly"
		}
		text += "; " + queue.Safe(share(f.Sender.Percent, f.IsWhole)+" "+words)
	}
	if p := f.Problem; p != nil {
		what := nonEmpty(p.NextHop, p.Category.Title())
		if p.NextHop == "" && p.ManyDomains {
			what += " in many domains"
		}
		if p.Code != "" {
			what += " (" + nonEmpty(p.Code, p.Status) + ")"
		}
		part := share(p.Percent, f.IsWhole)
		if p.Percent == 100 {
			part += ":"
		}
		text += "; " + queue.Safe(part+" "+what)
	}
	return text
}

// senderWords are what a sender is called.
var senderWords = map[queue.SenderKind]string{
	queue.OneLogin: "login", queue.OneClient: "client address", queue.OneSenderDomain: "sender domain",
}

func share(percent int64, isExact bool) string {
	switch {
	case percent == 100 && isExact:
		return "all"
	case percent == 100:
		return "nearly all"
	case isExact:
		return fmt.Sprintf("%d%%", percent)
	}
	return fmt.Sprintf("about %d%%", percent)
}

// nonEmpty joins the words that are not empty.
func nonEmpty(words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(word string) bool { return word == "" }), " ")
}

// Limits of the tables, in rows and columns.
const (
	shownOwners   = 5 // of each kind
	shownProblems = 12
	problemWidth  = 220
)

// ownerTable says whose mail it is.
func ownerTable(s *queue.Summary) []queue.Text {
	b := s.Breakdown
	lines := []queue.Text{"emails       whose mail"}
	row := func(messages int64, atLeast bool, what string) {
		if atLeast {
			what += ", at least"
		}
		lines = append(lines, shorten(queue.Safe(fmt.Sprintf("%6d %4s  %s", messages, percent(messages, s.Total.Messages), what)), problemWidth))
	}
	for _, kind := range []struct {
		name   string
		owners queue.Owners
	}{{"login", b.Logins}, {"client", b.Clients}, {"sender domain", b.Senders}} {
		o := kind.owners
		if o.Messages == 0 {
			continue
		}
		var largest int64
		if len(o.Rows) > 0 {
			largest = o.Rows[0].Messages
		}
		// Without rows there were too many to tell which of them have most.
		if len(o.Rows) == 0 || len(o.Rows) > shownOwners && isFlat(largest, s.Total.Messages) {
			row(o.Messages, false, fmt.Sprintf("%s %ss, none above %d", distinct(o.Number), kind.name, largest+o.MaxUndercount))
			continue
		}
		rest := o.Messages
		shown := o.Rows[:min(shownOwners, len(o.Rows))]
		for len(shown) > 1 && shown[len(shown)-1].Messages*100 < s.Total.Messages {
			shown = shown[:len(shown)-1] // less than 1 % is noise
		}
		for _, owner := range shown {
			row(owner.Messages, o.MaxUndercount > 0, ownerWords(kind.name, owner))
			rest -= owner.Messages
		}
		if rest > 0 {
			others := queue.Distinct{Number: max(1, o.Number.Number-int64(len(shown))), AtLeast: o.Number.AtLeast}
			row(rest, false, fmt.Sprintf("%s other %ss", distinct(others), kind.name))
		}
	}
	if !s.KnowsClients {
		lines = append(lines, "logins and clients: run this as root, or judge a snapshot with --breakdown")
	}
	return lines
}

func percent(n, total int64) string {
	if total == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*float64(n)/float64(total))
}

// ownerWords name an owner, and say how many different others its messages have.
func ownerWords(kind string, o queue.Owner) string {
	text := kind + " " + o.Key
	if o.Key == queue.NullSender {
		text = "no sender: bounces, mostly"
	}
	for _, d := range []struct {
		name   string
		number queue.Distinct
	}{{"login", o.Logins}, {"client", o.Clients}, {"sender domain", o.Domains}} {
		switch {
		case d.number.Number == 1:
			text += ", 1 " + d.name
		case d.number.Number > 1:
			text += ", " + distinct(d.number) + " " + d.name + "s"
		}
	}
	return text
}

// problemTable says why mail waits.
func problemTable(s *queue.Summary) []queue.Text {
	problems := s.Breakdown.Problems
	if len(problems) == 0 {
		return nil
	}
	lines := []queue.Text{"emails  rcpts domains since    newest   why"}
	when := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return units.FormatDuration(max(0, s.Taken.Sub(t)))
	}
	for _, p := range problems[:min(shownProblems, len(problems))] {
		domains := compact(p.Domains.Number, 6)
		if p.Domains.AtLeast {
			domains += "+"
		}
		line := fmt.Sprintf("%6s %6s %7s %-8s %-8s %s", compact(p.Messages, 6), compact(p.Recipients, 6), domains,
			when(p.Oldest), when(p.Newest), problemWords(p))
		lines = append(lines, shorten(queue.Safe(line), problemWidth))
	}
	switch more := len(problems) - shownProblems; {
	case more > 0:
		lines = append(lines, queue.Text(fmt.Sprintf("and %d other problems", more)))
	case s.Breakdown.MoreProblems:
		lines = append(lines, "and other problems")
	}
	return lines
}

// problemWords say where the problem is, what it is, who must act, and what was said.
func problemWords(p queue.Problem) string {
	hop := p.NextHop
	if strings.HasPrefix(hop, "*.") {
		hop += fmt.Sprintf(" (%d hosts)", p.Hosts)
	}
	text := nonEmpty(hop, p.Code, p.Status, p.Category.Title())
	if p.Held {
		text = "on hold, before that: " + text
	}
	if hint := p.Category.Hint(); hint != "" {
		text += ", " + hint
	}
	if p.Only != "" && (p.Messages > 1 || p.NextHop == "") {
		text += ", all for " + p.Only
	}
	if p.Text != "" && !strings.EqualFold(p.Text, p.Category.Title()) {
		text += ": " + p.Text
	}
	return text
}

// progressLines say what will happen next, and how far the largest message has come.
func progressLines(s *queue.Summary) (lines []queue.Text) {
	b := s.Breakdown
	if !b.NextTries.First.IsZero() {
		until := func(t time.Time) string {
			if t.After(s.Taken) {
				return "in " + units.FormatDuration(t.Sub(s.Taken))
			}
			return "now"
		}
		lines = append(lines, queue.Text(fmt.Sprintf("next try     %s for the first, %s for the last",
			until(b.NextTries.First), until(b.NextTries.Last))))
	}
	if l := b.Largest; l.ID != "" {
		text := fmt.Sprintf("largest      1 email of %s (%s) waits for %d recipients", l.Sender, l.ID, l.Waiting)
		if l.Done > 0 {
			text = fmt.Sprintf("largest      1 email of %s (%s): %d of %d delivered", l.Sender, l.ID, l.Done, l.Done+l.Waiting)
		}
		lines = append(lines, queue.Safe(text))
	}
	return lines
}

// canBeTyped reports whether a shell takes a text as it is, and Icinga and Nagios pass it on.
func canBeTyped(text string) bool {
	const (
		first  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
		others = first + ".@+=:/-"
	)
	return text != "" && len(text) <= 128 && strings.Contains(first, text[:1]) && strings.Trim(text, others) == ""
}

// actLines are the commands to act with on what most of the mail has in common.
func actLines(r queue.Reading) []queue.Text {
	s := r.Summary
	kind, owner := s.Breakdown.MainSender(s.Total.Messages)
	way, known := waysToAct[kind]
	if !known || mostlyHeld(s, owner.Messages) {
		return nil // nothing to do, or it has been done
	}
	filter, then, subject := way.filter, way.then, owner.Key
	dir := r.Instance.ConfigDir
	if !canBeTyped(subject) || dir != "" && !canBeTyped(strings.TrimPrefix(dir, "/")) {
		return []queue.Text{"act          " + queue.Text(filter) + " cannot be typed safely: postfix_queue_emit -f json --breakdown has it"}
	}
	emit, postsuper := "postfix_queue_emit -f ids", "postsuper"
	if dir != "" {
		emit, postsuper = emit+" -d "+dir, postsuper+" -c "+dir
	}
	return []queue.Text{queue.Safe(fmt.Sprintf("act          %s --%s =%s   (piped into %s -h - it holds them; %s)",
		emit, filter, subject, postsuper, then))}
}

// mostlyHeld reports whether more than half of a sender's messages must be on hold, because the other messages are too few.
func mostlyHeld(s *queue.Summary, messages int64) bool {
	held := s.Queues[queue.Hold]
	return held != nil && messages-(s.Total.Messages-held.Messages) > messages/2
}

// waysToAct are the options that select the mail of one sender, and what is to be done beside holding it. There is none for
// a sender domain: that may be this site's own, and all of its mail must not be held at once.
var waysToAct = map[queue.SenderKind]struct{ filter, then string }{
	queue.OneLogin:  {"login", "then lock the account"},
	queue.OneClient: {"client", "then lock it out"},
	queue.NoSender:  {"sender", "then find out what they answer"},
}
