package event

import _ "embed" // the schema

// Schema is the JSON Schema (2020-12) of an event for its producers: what Validate asks for, as far as a
// schema can say it. docs/event.schema.json is a copy.
//
//go:generate cp event.schema.json ../../docs/event.schema.json
//go:embed event.schema.json
var Schema string
