package emittest

import (
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"example.org/postfix-queue-monitor/docs"
)

// SnapshotSchema returns the schema of snapshots, docs/snapshot.schema.json. It is part of the test program, which may
// run where the repository is not.
var SnapshotSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	const url = "snapshot.schema.json"
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(docs.SnapshotSchema))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(url, document); err != nil {
		return nil, err
	}
	return compiler.Compile(url)
})

// ValidateSnapshot returns an error, a jsonschema.ValidationError, if the schema refuses a snapshot.
func ValidateSnapshot(document string) error {
	schema, err := SnapshotSchema()
	if err != nil {
		return err
	}
	instance, err := jsonschema.UnmarshalJSON(strings.NewReader(document))
	if err != nil {
		return err
	}
	return schema.Validate(instance)
}
