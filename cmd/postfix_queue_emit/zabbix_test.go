package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.org/postfix-queue-monitor/internal/queue"
)

// zabbixTemplate returns Zabbix's template and the metrics of its items.
func zabbixTemplate(t *testing.T) (template string, metrics []string) {
	t.Helper()
	content, err := os.ReadFile("../../contrib/zabbix/postfix_queue.yaml")
	if err != nil {
		t.Fatal(err)
	}
	item := regexp.MustCompile(`\n +key: 'postfix\.queue\.metric\[\{#INSTANCE\},(\w+)\]'\n +delay: (?s:.*?)'\$\.(\w+)'\n`)
	for _, m := range item.FindAllStringSubmatch(string(content), -1) {
		metrics = append(metrics, m[1])
		if m[1] != m[2] {
			t.Errorf("the item %s is taken from %s", m[1], m[2])
		}
	}
	return string(content), metrics
}

// The items of Zabbix's template are metrics, and none that every source knows is missing.
func TestZabbixMetrics(t *testing.T) {
	template, metrics := zabbixTemplate(t)
	golden, err := os.ReadFile("../../testdata/golden/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := strings.Fields(string(golden))
	named := regexp.MustCompile(`postfix\.queue\.metric\[\{#INSTANCE\},([^\]]*)\]`)
	for _, m := range named.FindAllStringSubmatch(template, -1) { // also in triggers and graphs
		if !slices.Contains(known, m[1]) || !slices.Contains(metrics, m[1]) {
			t.Errorf("%s is not a metric, or has no item", m[0])
		}
	}
	for _, m := range queue.Metrics() {
		if !m.OnDemand && !slices.Contains(metrics, m.Name) {
			t.Errorf("no item for %s", m.Name)
		}
	}
}

// Zabbix tells the parts of a template apart by version 4 UUIDs: two parts with one would become one.
func TestZabbixUUIDs(t *testing.T) {
	template, metrics := zabbixTemplate(t)
	uuids := regexp.MustCompile(`\buuid: '?(\w+)`).FindAllStringSubmatch(template, -1)
	if len(uuids) <= len(metrics) {
		t.Fatalf("%d UUIDs for %d items", len(uuids), len(metrics))
	}
	seen := make(map[string]bool)
	valid := regexp.MustCompile(`^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$`)
	for _, m := range uuids {
		if uuid := m[1]; seen[uuid] || !valid.MatchString(uuid) {
			t.Errorf("%s is there twice, or not a version 4 UUID", uuid)
		}
		seen[m[1]] = true
	}
}

// Each macro of the template is described and used, and each that is used is there.
func TestZabbixMacros(t *testing.T) {
	template, _ := zabbixTemplate(t)
	const macro = `\{\$(POSTFIX\.QUEUE\.[A-Z_.]+)`
	definition := regexp.MustCompile(`(?m)^ +- macro: '` + macro + `\}'\n(?: +value: .+\n)? +description: '.+'\n`)
	var defined, used []string
	for _, m := range definition.FindAllStringSubmatch(template, -1) {
		defined = append(defined, m[1])
	}
	inUse := regexp.MustCompile(macro + `(?::"\{#INSTANCE\}")?\}`)
	for _, m := range inUse.FindAllStringSubmatch(definition.ReplaceAllString(template, ""), -1) {
		used = append(used, m[1])
	}
	slices.Sort(used)
	slices.Sort(defined)
	if diff := cmp.Diff(defined, slices.Compact(used)); diff != "" {
		t.Errorf("macros (-defined +used):\n%s", diff)
	}
}
