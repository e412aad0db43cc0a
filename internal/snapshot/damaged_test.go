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
		"filter of no queue": {once(`"up": true`, `"up": true, "filter_queues": []`), "filter_queues is empty"},
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
