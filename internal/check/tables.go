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
	shownRows  = 10 // domains that a table shows
	tableWidth = 80 // columns of the table of domains and ages
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

// ageLines are the table of recipients' domains, or one line if none of these has many.
func ageLines(s *queue.Summary) []queue.Text {
	r, domains := s.Breakdown.Recipients, s.Breakdown.Domains
	if len(r.Rows) > shownRows && isFlat(r.Rows[0].Count, r.Total.Count) {
		return []queue.Text{queue.Text(fmt.Sprintf("%d recipients in %s domains, none above %d",
			r.Total.Count, distinct(domains), r.Rows[0].Count+r.MaxUndercount))}
	}
	return ageTable(r, s.NoArrivalTimes)
}

// isFlat reports whether the largest of many parts is still a small one, 5 % at most.
func isFlat(largest, total int64) bool { return largest*20 <= total }

func distinct(d queue.Distinct) string {
	if d.AtLeast {
		return fmt.Sprintf("at least %d", d.Number)
	}
	return strconv.FormatInt(d.Number, 10)
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
	for _, row := range rows {
		domains = append(domains, domainCell(row.Key, room))
	}
	tellApart(domains)
	width := 0
	for _, domain := range domains {
		width = max(width, len(domain))
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

// domainCell returns a domain as one word that fits into the width. Of a long one the middle is left out: its beginning
// tells it from others, and its end says whose it is.
func domainCell(domain string, width int) queue.Text {
	const mark = "..."
	cell := queue.Safe(strings.ReplaceAll(domain, " ", "?"))
	if len(cell) <= width {
		return cell
	}
	end := (width - len(mark)) / 2
	return cell[:width-len(mark)-end] + mark + cell[len(cell)-end:]
}

// tellApart numbers cells that look the same although they stand for different domains.
func tellApart(cells []queue.Text) {
	seen := map[queue.Text]int{}
	for i, cell := range cells {
		if seen[cell]++; seen[cell] > 1 {
			mark := queue.Text(fmt.Sprintf("~%d", seen[cell]))
			cells[i] = cell[:max(0, len(cell)-len(mark))] + mark
		}
	}
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
