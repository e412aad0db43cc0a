package emittest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// SnapshotSchema returns the schema of snapshots, docs/snapshot.schema.json.
var SnapshotSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	path, err := snapshotSchemaPath()
	if err != nil {
		return nil, err
	}
	return jsonschema.NewCompiler().Compile(path)
})

// snapshotSchemaPath finds the schema from the directory of any package, in which its tests run.
func snapshotSchemaPath() (path string, err error) {
	dir, err := os.Getwd()
	for err == nil {
		path = filepath.Join(dir, "docs", "snapshot.schema.json")
		_, err = os.Stat(path)
		if parent := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && parent != dir {
			dir, err = parent, nil
			continue
		}
		return path, err
	}
	return "", err
}

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
