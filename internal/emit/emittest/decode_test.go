package emittest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecode(t *testing.T) {
	tests := []struct {
		name     string
		format   string
		document string
		want     map[string]string
	}{
		{"nothing", "statsd", "", map[string]string{}},
		{"gauge", "statsd", "a.b:1|g\n", map[string]string{"a.b": "1"}},
		{"datadog", "statsd", "a:1|g|#x:1,y:2\n", map[string]string{`a x="1" y="2"`: "1"}},
		{"telegraf", "statsd", "a,y=2,x=1:1|g\n", map[string]string{`a x="1" y="2"`: "1"}},
		{"semicolons", "statsd", "a;x=1:1|g\n", map[string]string{`a x="1"`: "1"}},
		{"carbon", "graphite", "a.b;x=1 2 3\n", map[string]string{`a.b x="1"`: "2"}},
		{
			"point",
			"influx",
			"m,x=a\\ b f=1i,g=2i 1772334000000000000\n",
			map[string]string{`m.f x="a b"`: "1", `m.g x="a b"`: "2"},
		},
		{
			"snapshot",
			"json",
			`{"format": "postfix-queue-snapshot", "version": 1, "taken": 5, "instances": [{"name": "a", "up": false, ` +
				`"error": "b"}, {"name": "c", "up": true, "source": "input", "unreadable": 1, "total": ` +
				`{"messages": 1, "size_bytes": 2, "recipients": 3, "forced_expire": 0}}]}` + "\n",
			map[string]string{
				`up instance_name="a"`: "false", `up instance_name="c"`: "true", `unreadable instance_name="c"`: "1",
				`total.messages instance_name="c"`: "1", `total.size_bytes instance_name="c"`: "2",
				`total.recipients instance_name="c"`: "3", `total.forced_expire instance_name="c"`: "0",
			},
		},
		{"numbers", "value", "1\n0\n", map[string]string{"1": "1", "2": "0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decode(tt.format, tt.document)
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("%v, (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	const chart = "CHART postfix_a.b '' 'A' 'b' 'queue' 'postfix.b' 'line' 1 1 '' '' 'postfix_queue'\nDIMENSION x " +
		"'' absolute 1 1\n"
	tests := []struct{ name, format, document string }{
		{"an unknown format", "nosuch", ""},
		{"half a line", "statsd", "a:1|g"},
		{"a difference", "statsd", "a:+1|g\n"},
		{"an empty line", "statsd", "a:1|g\n\n"},
		{"a gauge twice", "statsd", "a:1|g\na:1|g\n"},
		{"an empty part of a name", "statsd", "a..b:1|g\n"},
		{"a tag twice", "statsd", "a:1|g|#x:1,x:2\n"},
		{"a tag without a value", "statsd", "a,x=:1|g\n"},
		{"a mark in a tag", "statsd", "a:1|g|#x:1|2\n"},
		{"a space in a name", "graphite", "a b 1 2\n"},
		{"no time", "graphite", "a 1\n"},
		{"a tilde first", "graphite", "a;x=~b 1 2\n"},
		{"a comma in a tag", "influx", "m,x=a,b f=1i 1772334000000000000\n"},
		{"seconds", "influx", "m f=1i 1772334000\n"},
		{"a fraction", "influx", "m f=1 1772334000000000000\n"},
		{"tags without order", "influx", "m,b=1,a=2 f=1i 1772334000000000000\n"},
		{"a comment", "influx", "# m f=1i 1772334000000000000\n"},
		{"a sample without a type", "prometheus", "a 1\n"},
		{"a time stamp", "prometheus", "# HELP a a\n# TYPE a gauge\na 1 1772334000000\n"},
		{"a quote in a label", "prometheus", "# HELP a a\n# TYPE a gauge\na{x=\"\"\"} 1\n"},
		{"an open block", "netdata", chart + "BEGIN postfix_a.b\nSET x = 1\n"},
		{"an unknown dimension", "netdata", chart + "BEGIN postfix_a.b\nSET y = 1\nEND\n"},
		{"an unknown line", "netdata", chart + "DISABLE\n"},
		{"another document", "json", "{}\n"},
		{"no JSON", "json", "{\n"},
		{"no number", "value", "1\nx\n"},
		{"a sign", "value", "-1\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := Decode(tt.format, tt.document); err == nil {
				t.Errorf("no error, but %v", got)
			}
		})
	}
}
