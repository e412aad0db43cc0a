package emit

import "example.org/postfix-queue-monitor/internal/queue"

// Tag is a key and a value that tell a series from others of its name: a label
// in Prometheus, a tag elsewhere.
type Tag struct{ Key, Value string }

// instanceTag says which instance a series is of. It is not "instance", which
// in Prometheus is what was scraped.
const instanceTag = "instance_name"

// tagsOf returns the tags of a reading's series: the instance where it is
// named, then those given, then those that every series has.
func (o Options) tagsOf(r queue.Reading, more ...Tag) []Tag {
	var tags []Tag
	if o.Named {
		tags = append(tags, Tag{instanceTag, r.Instance.Name})
	}
	return append(append(tags, more...), o.Tags...)
}

// partOf returns, as a tag, which part of a breakdown a row is.
func partOf(m queue.Metric) []Tag {
	if m.By == "" {
		return nil
	}
	return []Tag{{m.By, m.Of}}
}
