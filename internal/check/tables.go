package check

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"example.org/postfix-queue-monitor/internal/queue"
	"example.org/postfix-queue-monitor/internal/units"
)

const (
	shownRows   = 10  // domains that a table shows
	tableWidth  = 80  // columns of the table of domains and ages
	reasonWidth = 160 // columns of a line with an example of a reason
)

// queueTable is the table of -v: emails, size and oldest message of each queue.
func queueTable(s *queue.Summary) []queue.Text {
	var lines []queue.Text
	row := func(name, emails, size, oldest string) {
		lines = append(lines, queue.Text(fmt.Sprintf("%-8s %9s %10s  %s", name, emails, size, oldest)))
	}
	tally := func(name string, t *queue.Tally) {
		oldest := "-"
		switch {
		case s.NoArrivalTimes:
			oldest = "unknown"
		case t.Messages > 0:
			oldest = units.FormatDuration(t.Age(s.Taken))
		}
		row(name, strconv.FormatInt(t.Messages, 10), units.FormatSize(t.SizeBytes), oldest)
	}
	row("queue", "emails", "size", "oldest")
	for _, name := range queue.Names() {
		if t := s.Queues[name]; t != nil {
			tally(string(name), t)
		}
	}
	tally("total", &s.Total)
	if s.Partial {
		lines = append(lines, "these numbers are lower bounds")
	}
	return lines
}

// breakdownLines are the tables of -vv: what is stuck, and why.
func breakdownLines(s *queue.Summary) []queue.Text {
	if s.Breakdown == nil || s.Total.Messages == 0 {
		return nil
	}
	lines := reasonTable(s.Breakdown.Reasons)
	lines = append(lines, ageTable(s.Breakdown.Recipients, s.NoArrivalTimes)...)
	return append(lines, senderTable(s.Breakdown.Senders)...)
}

func reasonTable(reasons []queue.ReasonCount) []queue.Text {
	if len(reasons) == 0 {
		return nil
	}
	lines := []queue.Text{"emails  why they wait, most often"}
	for _, r := range reasons {
		line := fmt.Sprintf("%6d  %s", r.Messages, r.Category.Title())
		if r.Example != "" {
			line += ": " + r.Example
		}
		lines = append(lines, shorten(queue.Safe(line), reasonWidth))
	}
	return lines
}

func senderTable(r queue.Ranking) []queue.Text {
	lines := []queue.Text{"emails  sender domain" + atLeast(r)}
	for _, row := range shown(r) {
		lines = append(lines, queue.Text(fmt.Sprintf("%6d  %s", row.Count, domainCell(row.Key, tableWidth-8))))
	}
	return lines
}

// ageTable returns the recipients' domains against the ages of their messages, as qshape(1) does. No cell is
// empty, so that it can be read in any font.
func ageTable(r queue.Ranking, noArrivalTimes bool) []queue.Text {
	rows := append([]queue.RankingRow{r.Total}, shown(r)...)
	rows[0].Key = "TOTAL"
	head := []string{"T"}
	title := "recipients by domain" + atLeast(r)
	if !noArrivalTimes {
		title = "recipients by domain and age in minutes" + atLeast(r)
		for _, limit := range queue.AgeLimits() {
			head = append(head, strconv.Itoa(int(limit/time.Minute)))
		}
		head = append(head, head[len(head)-1]+"+")
	}
	cells := [][]string{head}
	for _, row := range rows {
		line := []string{compact(row.Count, 7)}
		if !noArrivalTimes {
			for _, count := range row.ByAge {
				line = append(line, compact(count, 4))
			}
		}
		cells = append(cells, line)
	}
	widths := make([]int, len(head))
	room := tableWidth
	for i := range head {
		for _, line := range cells {
			widths[i] = max(widths[i], len(line[i]))
		}
		room -= 1 + widths[i]
	}
	domains := []queue.Text{"domain"}
	width := len(domains[0])
	for _, row := range rows {
		domains = append(domains, domainCell(row.Key, room))
		width = max(width, len(domains[len(domains)-1]))
	}
	lines := []queue.Text{title}
	for i, line := range cells {
		var b strings.Builder
		fmt.Fprintf(&b, "%-*s", width, domains[i])
		for j, cell := range line {
			fmt.Fprintf(&b, " %*s", widths[j], cell)
		}
		lines = append(lines, queue.Text(b.String()))
	}
	return lines
}

func atLeast(r queue.Ranking) queue.Text {
	if r.MaxUndercount > 0 {
		return ", at least"
	}
	return ""
}

// shown returns the rows that are shown, and one for all the others.
func shown(r queue.Ranking) []queue.RankingRow {
	rows := append([]queue.RankingRow(nil), r.Rows[:min(shownRows, len(r.Rows))]...)
	others := r.Total
	others.Key = "(others)"
	for _, row := range rows {
		others.Count -= row.Count
		for i, count := range row.ByAge {
			others.ByAge[i] -= count
		}
	}
	if others.Count > 0 {
		rows = append(rows, others)
	}
	return rows
}

// domainCell returns a domain as one word that fits into the width. It keeps the end of a long one, which says
// whose it is.
func domainCell(domain string, width int) queue.Text {
	const mark = "..."
	cell := queue.Safe(strings.ReplaceAll(domain, " ", "?"))
	if len(cell) <= width {
		return cell
	}
	return mark + cell[len(cell)-width+len(mark):]
}

// compact writes a count in at most width characters, 4 or more, rounded down.
func compact(count int64, width int) string {
	text := strconv.FormatInt(count, 10)
	for _, unit := range []string{"k", "M", "G", "T"} {
		if len(text) <= width {
			break
		}
		count /= 1000
		text = strconv.FormatInt(count, 10) + unit
	}
	return text
}
