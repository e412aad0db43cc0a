package snapshot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"example.org/postfix-queue-monitor/docs"
	"example.org/postfix-queue-monitor/internal/emit/emittest"
	"example.org/postfix-queue-monitor/internal/queue"
)

type object = map[string]any

// rawSchema returns the schema as it is written.
func rawSchema(t *testing.T) (schema object) {
	t.Helper()
	if err := json.Unmarshal([]byte(docs.SnapshotSchema), &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// A member that is in the document or in its schema alone is forgotten in the other one.
func TestSchemaHasTheMembersOfTheDocument(t *testing.T) {
	schema := rawSchema(t)
	defs := schema["$defs"].(object)
	resolve := func(node object) object {
		for node["$ref"] != nil {
			name := strings.TrimPrefix(node["$ref"].(string), "#/$defs/")
			node = defs[name].(object)
		}
		return node
	}
	var compare func(path string, goType reflect.Type, node object)
	compare = func(path string, goType reflect.Type, node object) {
		node = resolve(node)
		want := map[reflect.Kind]string{
			reflect.Struct: "object", reflect.Map: "object", reflect.Slice: "array", reflect.Array: "array",
			reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer",
		}[goType.Kind()]
		if got := typeOf(node, resolve); got != want && goType.Kind() != reflect.Pointer {
			t.Errorf("%s: type %s in the schema, %s in the document", path, got, want)
			return
		}
		switch goType.Kind() {
		case reflect.Pointer:
			compare(path, goType.Elem(), node)
		case reflect.Slice, reflect.Array:
			compare(path+"[]", goType.Elem(), node["items"].(object))
		case reflect.Map:
			compare(path+".*", goType.Elem(), node["additionalProperties"].(object))
		case reflect.Struct:
			properties := node["properties"].(object)
			var required []string
			members := membersOf(goType)
			for _, m := range members {
				if m.required {
					required = append(required, m.name)
				}
				if property, ok := properties[m.name].(object); ok {
					compare(path+"."+m.name, m.goType, property)
				} else {
					t.Errorf("%s.%s is not in the schema", path, m.name)
				}
			}
			if len(properties) != len(members) {
				t.Errorf("%s: of these some are not in the document: %q", path, slices.Collect(maps.Keys(properties)))
			}
			if diff := cmp.Diff(slices.Sorted(slices.Values(required)), sorted(node["required"])); diff != "" {
				t.Errorf("%s: required members (-document +schema):\n%s", path, diff)
			}
			if node["additionalProperties"] != false {
				t.Errorf("%s: other members are accepted", path)
			}
		default:
		}
	}
	compare("", reflect.TypeFor[document](), schema)
}

// typeOf returns the type of values that a schema accepts.
func typeOf(node object, resolve func(object) object) string {
	switch {
	case node["anyOf"] != nil:
		return typeOf(resolve(node["anyOf"].([]any)[0].(object)), resolve)
	case node["enum"] != nil, node["const"] == Format:
		return "string"
	case node["const"] != nil:
		return "integer"
	}
	return fmt.Sprint(node["type"])
}

func sorted(list any) (texts []string) {
	values, _ := list.([]any)
	for _, value := range values {
		texts = append(texts, fmt.Sprint(value))
	}
	return slices.Sorted(slices.Values(texts))
}

type member struct {
	name     string
	required bool
	goType   reflect.Type
}

func membersOf(structType reflect.Type) (members []member) {
	for field := range structType.Fields() {
		if field.Anonymous {
			members = append(members, membersOf(field.Type)...)
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		members = append(members, member{name, options == "", field.Type})
	}
	return members
}

// The words of the schema are those of the domain.
func TestSchemaHasTheWordsOfTheDomain(t *testing.T) {
	defs := rawSchema(t)["$defs"].(object)
	at := func(path string) (list any) {
		list = defs
		for name := range strings.SplitSeq(path, ".") {
			list = list.(object)[name]
		}
		return list
	}
	tests := map[string]any{
		"queue.enum":    queue.Names(),
		"category.enum": queue.Categories(),
		"trouble.properties.severity.enum": []queue.Severity{
			queue.Remark, queue.Warning, queue.Unconfirmed, queue.Critical,
		},
		"findings.properties.sender.properties.kind.enum": []queue.SenderKind{
			queue.OneLogin, queue.OneClient, queue.OneSenderDomain, queue.NoSender,
		},
	}
	for path, words := range tests {
		var want []string
		for i := range reflect.ValueOf(words).Len() {
			want = append(want, fmt.Sprint(reflect.ValueOf(words).Index(i)))
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(want)), sorted(at(path))); diff != "" {
			t.Errorf("%s (-domain +schema):\n%s", path, diff)
		}
	}
	for path, want := range map[string]int{
		"instance.properties.deferral_reasons.minProperties": len(queue.Categories()),
		"ranking_row.properties.by_age.minItems":             queue.AgeColumns,
		"ranking_row.properties.by_age.maxItems":             queue.AgeColumns,
		"instance.properties.troubles.maxItems":              maxTroubles,
	} {
		if got := at(path); got != float64(want) {
			t.Errorf("%s is %v, want %d", path, got, want)
		}
	}
}

// generated is a source of messages that a random generator has made, with few or many different names in them.
type generated struct {
	random   *rand.Rand
	messages int
	names    int    // at most so many different logins, clients, domains and hosts
	why      string // the one reason of all mail; empty: each has one of its own
}

func (generated) Name() string { return queue.SpoolName }

func (g generated) Read(_ context.Context, _ queue.Depth, visit func(*queue.Message)) (queue.Facts, error) {
	for i := range g.messages {
		name := queue.Names()[g.random.IntN(len(queue.Names()))]
		m := &queue.Message{
			Queue: name, ID: fmt.Sprintf("%X", 0xA00000+i), SizeBytes: g.random.Int64N(1 << 25),
			Arrival: now.Add(-time.Duration(g.random.Int64N(int64(5 * 24 * time.Hour)))), Done: g.random.Int64N(3),
			Sender: g.pick("%s@sender%d.example", queue.NullSender), Login: g.pick("%s%d", ""),
			Client:       g.pick("192.0.2.%[2]d", ""),
			ForcedExpire: g.random.IntN(4) == 0, Expiring: g.random.IntN(4) == 0,
		}
		if name == queue.Deferred {
			m.Due = now.Add(time.Duration(g.random.Int64N(int64(time.Hour))))
		}
		for i := range g.recipients() {
			address := fmt.Sprintf("r%d@d%d.example", i, g.random.IntN(100*g.names))
			m.Recipients = append(m.Recipients, queue.Recipient{Address: address, Reason: g.reason(name)})
		}
		visit(m)
	}
	return queue.Facts{KnowsClients: true, KnowsExpiry: true}, nil
}

func (g generated) recipients() int {
	if g.random.IntN(10) == 0 {
		return 100 + g.random.IntN(20)
	}
	return g.random.IntN(4)
}

// pick returns one of the names, mostly a frequent one, or what stands for none.
func (g generated) pick(format, none string) string {
	n := g.random.IntN(g.names)
	switch g.random.IntN(3) {
	case 0:
		return none
	case 1:
		n = 0
	}
	return fmt.Sprintf(format, "é<\u2028", n)
}

func (g generated) reason(name queue.Name) string {
	if name != queue.Deferred && name != queue.Hold {
		return ""
	}
	if g.why != "" {
		return g.why
	}
	host := g.pick("mx%[2]d.bigprov.example", "mx.other.example")
	reasons := []string{
		"", "connect to " + host + "[192.0.2.1]:25: Connection refused", "mail transport unavailable",
		"host " + host + "[192.0.2.1] said: 421 4.7.28 unusual rate (in reply to RCPT TO command)",
		"host " + host + "[192.0.2.1] said: 450 wait (#4.7.1) (in reply to RCPT TO command)",
		"host " + host + "[192.0.2.1] said: 999", g.pick("unknown%[2]d %[1]s", "late"),
	}
	return reasons[g.random.IntN(len(reasons))]
}

// generatedReadings returns readings of all kinds.
func generatedReadings(t *testing.T, seed uint64) (readings []queue.Reading) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	reading := func(g generated, q queue.Query, change func(*queue.Reading)) {
		s, err := queue.Summarize(t.Context(), g, q)
		if err != nil {
			t.Fatal(err)
		}
		r := queue.Reading{Instance: queue.Instance{Name: fmt.Sprintf("mx%d", len(readings))}, Summary: s}
		if change != nil {
			change(&r)
		}
		readings = append(readings, r)
	}
	always := func(*queue.Summary) bool { return true }
	everything := queue.Query{Reasons: true, Breakdown: true, Tops: true, Findings: always}
	few := generated{random: random, messages: 1 + random.IntN(60), names: 1 + random.IntN(5)}
	many := generated{random: random, messages: 3000, names: 3000}
	alike := generated{
		random: random, messages: 100, names: 1,
		why: "host mx.example.org[192.0.2.1] said: 421 4.7.28 unusual rate (in reply to RCPT TO command)",
	}
	var patterns queue.Patterns
	for _, text := range []string{".", "!^x"} {
		if err := patterns.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	since := now.Add(-time.Hour)
	reading(generated{random: random}, queue.Query{}, nil)
	reading(generated{random: random}, everything, nil)
	reading(few, queue.Query{}, nil)
	reading(few, everything, func(r *queue.Reading) { r.Summary.Unreadable, r.Summary.Corrupt = 5, new(int64(7)) })
	ofDeferred := everything
	ofDeferred.Filter.Queues = []queue.Name{queue.Deferred}
	reading(alike, ofDeferred, nil)
	reading(many, everything, func(r *queue.Reading) {
		r.Instance.ConfigDir = "/etc/postfix-out"
		r.Summary.Space = &queue.Space{FreeBytes: 1 << 40, FreeInodes: new(int64(5))}
	})
	reading(many, queue.Query{Tops: true, Findings: always}, func(r *queue.Reading) {
		r.Summary.Source, r.Summary.KnowsClients = "showq", false
	})
	reading(few, queue.Query{Filter: queue.Filter{
		Queues: []queue.Name{queue.Hold, queue.Deferred}, Senders: patterns, Logins: patterns, Clients: patterns,
		Recipients: patterns, Reasons: patterns, OlderThan: time.Minute,
	}}, nil)
	reading(few, everything, func(r *queue.Reading) { r.Summary.Down = "nothing listens" })
	reading(few, everything, func(r *queue.Reading) { r.Err = errors.New("denied") })
	reading(few, everything, func(r *queue.Reading) {
		r.Summary.Source, r.Summary.NoArrivalTimes = "input", true
		r.Summary.Queues = map[queue.Name]*queue.Tally{}
		r.Summary.Indistinct = queue.Names()
	})
	reading(few, queue.Query{}, func(r *queue.Reading) {
		r.Summary.Troubles = []queue.Trouble{
			{Name: "no_space", Severity: queue.Critical, FreeBytes: 5, NeededBytes: 7},
			{Name: "queue_manager", Severity: queue.Unconfirmed, Messages: 9, Since: since, Active: 3},
			{Name: "saturated", Severity: queue.Warning, NoneTaken: true},
			{Name: "unseen", Severity: queue.Remark},
		}
	})
	reading(few, queue.Query{}, func(r *queue.Reading) {
		r.Summary.Troubles = []queue.Trouble{{Name: "local_mail", Severity: queue.Unconfirmed, Messages: 2, Since: since}}
	})
	reading(few, queue.Query{}, func(r *queue.Reading) {
		r.Summary.Source, r.Summary.Troubles = "postqueue", []queue.Trouble{{Name: "queue_manager", Severity: queue.Warning}}
	})
	readings = append(readings, queue.Reading{Instance: queue.Instance{Name: "never read"}, Err: context.DeadlineExceeded})
	return readings
}

// generatedDocument returns the snapshot of a reading, which is read back.
func generatedDocument(t *testing.T, r queue.Reading) string {
	t.Helper()
	var doc bytes.Buffer
	if err := Write(&doc, []queue.Reading{r}, now); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(bytes.NewReader(doc.Bytes()), now); err != nil {
		t.Fatal(err)
	}
	return doc.String()
}

// The schema accepts all that is written, and every member is among that.
func TestSchemaAcceptsWhatIsWritten(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(5) {
		for _, r := range generatedReadings(t, seed) {
			doc := generatedDocument(t, r)
			if err := emittest.ValidateSnapshot(doc); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			findMembers(reflect.TypeFor[document](), placesOf(t, doc)[0].value, seen)
		}
	}
	eachStruct(reflect.TypeFor[document](), func(structType reflect.Type) {
		for _, m := range membersOf(structType) {
			if name := structType.Name() + "." + m.name; !seen[name] {
				t.Errorf("%s is never written", name)
			}
		}
	})
}

// findMembers adds the members that a document has, by their types.
func findMembers(goType reflect.Type, value any, seen map[string]bool) {
	switch value := value.(type) {
	case object:
		if goType = pointee(goType); goType.Kind() == reflect.Map {
			for _, child := range value {
				findMembers(goType.Elem(), child, seen)
			}
			return
		}
		for _, m := range membersOf(goType) {
			if child, ok := value[m.name]; ok {
				seen[goType.Name()+"."+m.name] = true
				findMembers(m.goType, child, seen)
			}
		}
	case []any:
		for _, child := range value {
			findMembers(goType.Elem(), child, seen)
		}
	}
}

// eachStruct visits the types of structs that are in a type.
func eachStruct(goType reflect.Type, visit func(reflect.Type)) {
	switch goType.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		eachStruct(goType.Elem(), visit)
	case reflect.Struct:
		visit(goType)
		for _, m := range membersOf(goType) {
			eachStruct(m.goType, visit)
		}
	default:
	}
}

func pointee(goType reflect.Type) reflect.Type {
	if goType.Kind() == reflect.Pointer {
		return goType.Elem()
	}
	return goType
}

// A place is a value in a document.
type place struct {
	name     string // with [] for each index, and * for each name of a queue or category
	location []string
	value    any
	set      func(value any)
	remove   func() // nil if it is in an array
}

// placesOf returns the values of a document.
func placesOf(t *testing.T, doc string) (places []place) {
	t.Helper()
	root, err := jsonschema.UnmarshalJSON(strings.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	return placesBelow(root, place{set: func(any) {}})
}

// isMap reports whether the value has names of queues or categories for members.
func (p place) isMap() bool {
	return strings.HasSuffix(p.name, "/queues") || strings.HasSuffix(p.name, "/deferral_reasons")
}

func placesBelow(value any, at place) (places []place) {
	at.value = value
	places = append(places, at)
	switch parent := value.(type) {
	case object:
		for name, child := range parent {
			shown := name
			if at.isMap() {
				shown = "*"
			}
			places = append(places, placesBelow(child, place{
				name: at.name + "/" + shown, location: append(slices.Clone(at.location), name),
				set: func(value any) { parent[name] = value }, remove: func() { delete(parent, name) },
			})...)
		}
	case []any:
		for i, child := range parent {
			places = append(places, placesBelow(child, place{
				name: at.name + "/[]", location: append(slices.Clone(at.location), fmt.Sprint(i)),
				set: func(value any) { parent[i] = value },
			})...)
		}
	}
	return places
}

// The schema refuses each value that is damaged, and names it.
func TestSchemaRefusesDamage(t *testing.T) {
	schema, err := emittest.SnapshotSchema()
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]bool{}
	for _, r := range generatedReadings(t, 1) {
		places := placesOf(t, generatedDocument(t, r))
		root := places[0].value
		refuses := func(what string, location []string) {
			t.Helper()
			err := schema.Validate(root)
			invalid := new(jsonschema.ValidationError)
			if !errors.As(err, &invalid) {
				t.Errorf("%s: %s is accepted: %v", strings.Join(location, "/"), what, err)
			} else if !namesLocation(invalid, location) {
				t.Errorf("%s: %s: the error is elsewhere: %v", strings.Join(location, "/"), what, err)
			}
		}
		for _, p := range places[1:] {
			if tried[p.name] {
				continue
			}
			tried[p.name] = true
			for what, damage := range damagesOf(p.value) {
				p.set(damage)
				refuses(what, p.location)
			}
			p.set(p.value)
			if inside, ok := p.value.(object); ok {
				inside["unknown"] = json.Number("0")
				where := p.location
				if p.isMap() {
					where = nil // the validator misplaces what is wrong with a name
				}
				refuses("a member that does not exist", where)
				delete(inside, "unknown")
			}
			if p.remove != nil && isRequired(t, p.name) {
				p.remove()
				refuses("absent", p.location[:len(p.location)-1])
				p.set(p.value)
			}
		}
		if err := schema.Validate(root); err != nil {
			t.Errorf("the document was not repaired: %v", err)
		}
	}
}

// damagesOf returns values that cannot stand for that one.
func damagesOf(value any) map[string]any {
	damages := map[string]any{"null": nil}
	switch value.(type) {
	case json.Number:
		damages["negative"], damages["a fraction"], damages["a text"] = json.Number("-1"), json.Number("1.5"), "1"
		damages["more than a reader holds"] = json.Number("9223372036854775808")
	case []any:
		damages["an object"] = object{}
	case object:
		damages["an array"] = []any{}
	default:
		damages["a number"] = json.Number("1")
	}
	return damages
}

// isRequired reports whether a member must be in its object: it has no omitempty.
func isRequired(t *testing.T, name string) bool {
	t.Helper()
	goType, required := reflect.TypeFor[document](), false
	for part := range strings.SplitSeq(strings.TrimPrefix(name, "/"), "/") {
		for goType.Kind() == reflect.Pointer {
			goType = goType.Elem()
		}
		if goType.Kind() != reflect.Struct {
			goType, required = goType.Elem(), false
			continue
		}
		i := slices.IndexFunc(membersOf(goType), func(m member) bool { return m.name == part })
		if i < 0 {
			t.Fatalf("%s is not in the document", name)
		}
		m := membersOf(goType)[i]
		goType, required = m.goType, m.required
	}
	return required
}

// namesLocation reports whether an error is about that location, or something in it.
func namesLocation(err *jsonschema.ValidationError, location []string) bool {
	if len(err.Causes) == 0 {
		return len(err.InstanceLocation) >= len(location) && slices.Equal(err.InstanceLocation[:len(location)], location)
	}
	return slices.ContainsFunc(err.Causes, func(cause *jsonschema.ValidationError) bool {
		return namesLocation(cause, location)
	})
}

// beyondSchema are the damages that a schema cannot tell, and why not.
var beyondSchema = map[string]string{
	"name twice":                "the last member counts",
	"total twice":               "the last member counts",
	"two alike in metrics":      "it does not compare instances",
	"total too small":           "it does not add",
	"total too large":           "it does not add",
	"a count too large":         "it does not add",
	"more expire than are":      "it does not compare numbers",
	"more arrived than are":     "it does not compare numbers",
	"bounds that do not ascend": "it does not compare numbers",

	"an arrival that is not that of a queue": "it does not compare numbers",
	"a bound too many":                       "it does not compare lengths",
	"a count too many":                       "it does not compare lengths",
}

// verifySchema fails unless the schema refuses a damaged document, if it can.
func verifySchema(t *testing.T, name, doc string) {
	t.Helper()
	err := emittest.ValidateSnapshot(doc)
	switch why, beyond := beyondSchema[name]; {
	case err == nil && !beyond:
		t.Errorf("%s: the schema accepts it", name)
	case err != nil && beyond:
		t.Errorf("%s: the schema tells it, although %s: %v", name, why, err)
	}
}
