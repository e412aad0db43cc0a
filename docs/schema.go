// Package docs has what tests need of the documentation.
package docs

import _ "embed"

// SnapshotSchema is the JSON Schema of the document that `postfix_queue_emit --format json` writes.
//
//go:embed snapshot.schema.json
var SnapshotSchema string
