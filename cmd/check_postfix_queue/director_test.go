package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write contrib/icinga2/director-basket.json anew")

// A directorArgument is an argument of a command in Icinga Director.
type directorArgument struct {
	Description string `json:"description"`
	RepeatKey   bool   `json:"repeat_key,omitempty"`
	SetIf       string `json:"set_if,omitempty"`
	SetIfFormat string `json:"set_if_format,omitempty"`
	SkipKey     bool   `json:"skip_key,omitempty"`
	Value       any    `json:"value,omitempty"`
}

// A directorFunction is a value that Icinga computes.
type directorFunction struct {
	Type string `json:"type"`
	Body string `json:"body"`
}

// A directorField lets people set a variable in Director's forms.
type directorField struct {
	Name        string            `json:"varname"`
	Caption     string            `json:"caption"`
	Description string            `json:"description"`
	Type        string            `json:"datatype"`
	Format      *string           `json:"format"`
	Settings    map[string]string `json:"settings"`
}

// A directorFieldUse names a field by its number in the basket.
type directorFieldUse struct {
	Field    int     `json:"datafield_id"`
	Required string  `json:"is_required"`
	Filter   *string `json:"var_filter"`
}

// object is any other object of a basket.
type object map[string]any

// A directorBasket has the fields and collects where they are used.
type directorBasket struct{ fields map[string]directorField }

// use adds a field and returns its use.
func (b *directorBasket) use(kind, name, caption, description string) directorFieldUse {
	id := len(b.fields) + 1
	settings := make(map[string]string)
	if kind == "String" {
		settings["visibility"] = "visible"
	}
	b.fields[strconv.Itoa(id)] = directorField{
		Name: name, Caption: caption, Description: description,
		Type: `Icinga\Module\Director\DataType\DataType` + kind, Settings: settings,
	}
	return directorFieldUse{Field: id, Required: "n"}
}

// director returns the basket that says the same as the CheckCommand and the services of Icinga's own files.
func director(t *testing.T) []byte {
	t.Helper()
	content, err := os.ReadFile("../../contrib/icinga2/postfix_queue.conf")
	if err != nil {
		t.Fatal(err)
	}
	basket := &directorBasket{make(map[string]directorField)}
	arguments := make(map[string]directorArgument)
	var uses []directorFieldUse
	argument := regexp.MustCompile(`(?s)"--([a-z-]+)" = \{\n(.*?)\n\t\t\}`)
	attribute := regexp.MustCompile(`(?m)^\t\t\t(\w+) = "?(.*?)"?$`)
	for _, m := range argument.FindAllStringSubmatch(string(content), -1) {
		attributes := make(map[string]string)
		for _, a := range attribute.FindAllStringSubmatch(m[2], -1) {
			attributes[a[1]] = a[2]
		}
		a := directorArgument{
			Description: attributes["description"], RepeatKey: attributes["repeat_key"] == "true", SetIf: attributes["set_if"],
		}
		if value := attributes["value"]; value != "" {
			a.Value = value
		}
		kind := "String"
		switch {
		case m[1] == "verbose":
			kind = "Number"
			// Director cannot repeat an option without a value.
			a.SetIf = strings.Trim(a.SetIf, "{} ")
			a.SetIfFormat, a.SkipKey = "expression", true
			const level = `number(macro("$postfix_queue_verbose$"))`
			a.Value = directorFunction{"Function", fmt.Sprintf(
				`if (%[1]s >= 3) { return "-vvv" } else if (%[1]s >= 2) { return "-vv" } else { return "-v" }`, level)}
		case a.RepeatKey:
			kind = "Array"
		case a.SetIf != "":
			kind = "Boolean"
		}
		arguments["--"+m[1]] = a
		name := strings.ReplaceAll(m[1], "-", "_")
		caption := strings.ToUpper(name[:1]) + strings.ReplaceAll(name[1:], "_", " ")
		uses = append(uses, basket.use(kind, "postfix_queue_"+name, caption, a.Description))
	}
	hostUses := []directorFieldUse{
		basket.use("Array", "postfix_config_dirs", "Postfix instances",
			"Configuration directories of Postfix, one service for each. Empty: one service, for the default instance."),
	}
	encoded, err := encode(basket, arguments, uses, hostUses)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func encode(
	basket *directorBasket, arguments map[string]directorArgument, uses, hostUses []directorFieldUse,
) ([]byte, error) {
	const name = "postfix_queue"
	service := func(name string, more object) object {
		o := object{
			"object_name": name, "object_type": "apply", "imports": []string{"postfix-queue"}, "use_var_overrides": true,
		}
		maps.Copy(o, more)
		return o
	}
	set := func(name, description, filter string, services ...object) object {
		return object{
			"object_name": name, "object_type": "template", "description": description, "assign_filter": filter,
			"services": services,
		}
	}
	const single, several = "Postfix queue", "Postfix queues of several instances"
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	err := e.Encode(object{
		"Datafield": basket.fields,
		"Command": object{name: object{
			"object_name": name, "object_type": "object", "methods_execute": "PluginCheck",
			"command": "PluginContribDir + /check_postfix_queue", "timeout": 60,
			"arguments": arguments, "fields": uses, "vars": object{"postfix_queue_verbose": 0},
		}},
		"HostTemplate": object{"postfix": object{
			"object_name": "postfix", "object_type": "template", "fields": hostUses, "vars": object{"postfix": true},
		}},
		"ServiceTemplate": object{"postfix-queue": object{
			"object_name": "postfix-queue", "object_type": "template", "check_command": name,
			"check_interval": "60", "retry_interval": "30", "max_check_attempts": "3", "fields": []directorFieldUse{},
			"vars": object{
				"postfix_queue_warning":  []string{"100", "size=50M", "age=1h"},
				"postfix_queue_critical": []string{"500", "size=250M", "age=4h"},
				"postfix_queue_verbose":  2,
			},
		}},
		"ServiceSet": object{
			single: set(single, "The default instance of Postfix",
				"host.vars.postfix=true&host.vars.postfix_config_dirs=false",
				service("postfix-queue", nil)),
			several: set(several, "One service for each instance of Postfix",
				"host.vars.postfix_config_dirs=true",
				service("postfix-queue $config$", object{
					"apply_for": "host.vars.postfix_config_dirs",
					"vars":      object{"postfix_queue_config_dir": "$config$"},
				})),
		},
	})
	return b.Bytes(), err
}

// TestDirectorBasket compares Director's basket with the files for Icinga itself: the same options, types and
// descriptions.
func TestDirectorBasket(t *testing.T) {
	const path = "../../contrib/icinga2/director-basket.json"
	want := director(t)
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the basket is not that of postfix_queue.conf (-want +got); write it anew with -update:\n%s", diff)
	}
}
