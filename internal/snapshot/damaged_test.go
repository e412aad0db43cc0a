package snapshot

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"example.org/postfix-queue-monitor/internal/queue"
)

// A number that is absent, null, there twice or at odds with others must not pass for a zero.
func TestMembersThatAreMissingTwiceOrContradictory(t *testing.T) {
	whole := snapshotText(t)
	once := func(old, replacement string) string {
		damaged := strings.Replace(whole, old, replacement, 1)
		if damaged == whole {
			t.Fatalf("nothing to damage: %s", old)
		}
		return damaged
	}
	total := regexp.MustCompile(`(?s)"total": \{.*?\n   \}`).FindString(whole)
	tests := map[string]struct{ doc, want string }{
		"taken absent": {once(`"taken"`, `"took"`), "taken is missing"},
		"taken null": {
			regexp.MustCompile(`"taken": \d+`).ReplaceAllString(whole, `"taken": null`),
			"taken is missing",
		},
		"up absent":            {once(`"up": true,`, ``), "up is missing"},
		"total absent":         {strings.Replace(whole, total+",", "", 1), "neither numbers nor an error"},
		"total null":           {strings.Replace(whole, total, `"total": null`, 1), "neither numbers nor an error"},
		"total empty":          {strings.Replace(whole, total, `"total": {}`, 1), "total: messages is missing"},
		"messages null":        {once(`"messages": 5`, `"messages": null`), "total: messages is missing"},
		"size absent":          {once(`"size_bytes"`, `"size"`), "total: size_bytes is missing"},
		"total twice":          {strings.Replace(whole, total, total+", "+total, 1), "total is there twice"},
		"total twice, in case": {strings.Replace(whole, total, total+`, "Total": {}`, 1), "Total is there twice"},
		"messages twice":       {once(`"messages": 5`, `"messages": 5, "messages": 0`), "messages is there twice"},
		"name twice":           {once(`"name": "mx1"`, `"name": "mx1", "name": "mx2"`), "name is there twice"},
		"total too small": {
			once(`"messages": 5`, `"messages": 4`),
			"messages: the total is 4, but the queues add up to 5",
		},
		"total too large": {
			once(`"messages": 5`, `"messages": 6`),
			"messages: the total is 6, but the queues add up to 5",
		},
		"queues absent":    {once(`"queues"`, `"lines"`), ""},
		"an unknown queue": {once(`"hold": {`, `"holt": {`), `unknown queue "holt"`},
		"no bounds": {
			regexp.MustCompile(`(?s)"bounds": \[.*?\]`).ReplaceAllString(whole, `"bounds": []`),
			"a histogram is malformed",
		},
		"up without a reason not to be": {once(`"up": true`, `"up": false`), "up contradicts what else it says"},
		"up although mail does not move": {
			strings.Replace(once(`"up": true`, `"up": true, "troubles": [{"name": "x", "severity": "critical"}]`),
				`"source": "input"`, `"source": "spool"`, 1),
			"up contradicts what else it says",
		},
		"a trouble of no severity": {
			once(`"up": true`, `"up": true, "troubles": [{"name": "x"}]`),
			`troubles: x has an unknown severity ""`,
		},
		"a trouble without a name": {
			once(`"up": true`, `"up": true, "troubles": [{"severity": "remark"}]`),
			"troubles: one has no name",
		},
		"a trouble with a negative number": {
			once(`"up": true`, `"up": true, "troubles": [{"name": "x", "severity": "remark", "active": -1}]`),
			"troubles: x has a negative number",
		},
		"too many troubles": {
			once(`"up": true`, `"up": true, "troubles": [`+strings.Repeat(`{"name": "x"}, `, 20)+`{"name": "x"}]`),
			"troubles: there are 21",
		},
		"arrivals in part": {
			once(`"arrived_1h"`, `"arrived_2h"`),
			"one of arrived_5m, arrived_1h and future is missing",
		},
		"arrivals negative":    {once(`"up": true`, `"up": true, "expiring": -1`), "expiring is negative"},
		"more expire than are": {once(`"up": true`, `"up": true, "expiring": 6`), "expiring is more than the total"},
		"more arrived than are": {
			regexp.MustCompile(`"arrived_1h": \d+`).ReplaceAllString(whole, `"arrived_1h": 6`),
			"arrived_5m, arrived_1h, future and the total contradict each other",
		},
		"unreadable negative": {once(`"up": true`, `"up": true, "unreadable": -1`), "unreadable or corrupt is negative"},
		"corrupt negative":    {once(`"up": true`, `"up": true, "corrupt": -1`), "unreadable or corrupt is negative"},
		"taken negative": {
			regexp.MustCompile(`"taken": \d+`).ReplaceAllString(whole, `"taken": -5`),
			"taken is -5",
		},
		"taken beyond any calendar": {
			regexp.MustCompile(`"taken": \d+`).ReplaceAllString(whole, `"taken": 9000000000000000000`),
			"taken is 9000000000000000000",
		},
		"an arrival beyond any calendar": {
			regexp.MustCompile(`"oldest_arrival": \d+`).ReplaceAllString(whole, `"oldest_arrival": 9000000000000000000`),
			"oldest_arrival is 9000000000000000000",
		},
		"an arrival before there were any": {
			regexp.MustCompile(`"oldest_arrival": \d+`).ReplaceAllString(whole, `"oldest_arrival": -1`),
			"oldest_arrival is -1",
		},
		"an arrival of the queues alone": {
			regexp.MustCompile(`("total": \{[^}]*),\s*"oldest_arrival": \d+`).ReplaceAllString(whole, "$1"),
			"total: oldest_arrival is missing",
		},
		"an arrival that is not that of a queue": {
			regexp.MustCompile(`("total": \{[^}]*"oldest_arrival": )\d+`).ReplaceAllString(whole, "${1}5"),
			"oldest_arrival: the total and the queues contradict each other",
		},
		"ages as of no time": {
			regexp.MustCompile(`"until": \d+`).ReplaceAllString(whole, `"until": -5`),
			"until is -5",
		},
		"a filter by more years than there are": {
			once(`"up": true`, `"up": true, "filter_older_than": 9223372036854775807`),
			"filter_older_than is 9223372036854775807",
		},
		"a trouble since no time": {
			once(`"up": true`, `"up": true, "troubles": [{"name": "x", "severity": "remark", "since": 9000000000000000000}]`),
			"troubles: x: since is 9000000000000000000",
		},
		"arrivals absent": {
			regexp.MustCompile(`"oldest_arrival": \d+,`).ReplaceAllString(whole, ``),
			"oldest_arrival is missing",
		},
		"a member twice, in letters that package json folds": {
			once(`"messages": 5`, `"messages": 5, "me\u017f\u017fages": 0`),
			"is there twice",
		},
		"inodes without space": {once(`"up": true`, `"up": true, "spool_free_inodes": 6`), "spool_free is missing"},
		"filter of no queue":   {once(`"up": true`, `"up": true, "filter_queues": []`), "filter_queues is empty"},
		"filter unknown": {
			once(`"up": true`, `"up": true, "filter_queues": ["holt"]`),
			`filter_queues: "holt" is unknown`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			readings, _, err := Read(strings.NewReader(tt.doc), now)
			if tt.want == "" { // as a text listing, which knows the total alone
				if err != nil || len(readings[0].Summary.Indistinct) != len(queue.Names()) {
					t.Errorf("error %v", err)
				}
				return
			}
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			verifySchema(t, name, tt.doc)
		})
	}
}

// A snapshot from another host costs what its size allows, whatever is in it.
func TestHostileSnapshot(t *testing.T) {
	whole := snapshotText(t)
	var expressions, instances []string
	for i := range 20_000 {
		expressions = append(expressions, strconv.Quote(fmt.Sprintf(`\pL{1,30}(%d`, i)))
		instances = append(instances, fmt.Sprintf(`{"name": "mx%d", "up": false, "error": "x"}`, i))
	}
	list := `"up": true, "filter_senders": [` + strings.Join(expressions, ",") + `]`
	filtered := strings.Replace(whole, `"up": true`, list, 1)
	readings, _, err := Read(strings.NewReader(filtered), now)
	if err != nil || len(readings[0].Summary.Filter.Senders) != len(expressions) {
		t.Errorf("error %v", err)
	}
	many := `{"format": "` + Format + `", "version": 1, "taken": 5, "instances": [` + strings.Join(instances, ",") + `]}`
	_, _, err = Read(strings.NewReader(many), now)
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "20000 instances") {
		t.Errorf("error %v", err)
	}
	deep := `{"format": "` + Format + `", "x": ` + strings.Repeat("[", 100_000)
	if _, _, err := Read(strings.NewReader(deep), now); !errors.Is(err, ErrDamaged) {
		t.Errorf("error %v", err)
	}
}
