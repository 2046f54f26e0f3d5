package event_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/event/eventtest"
)

// isBeyondSchemas reports whether no schema can say why a bad record is refused: it is for the text, not for
// the value that it stands for, for the time of reading, or by what two members have in common.
func isBeyondSchemas(c eventtest.Case) bool {
	switch c.Reason {
	case event.DuplicateMember, event.InvalidText, event.NumberOutOfRange, event.TooDeep, event.TooLarge:
		return true
	}
	switch c.Name {
	case "timestamp a microsecond before 1900", "timestamp before 1900 by its offset", "timestamp too far in the future",
		"timestamp in the year 9999", "extensions has the member already":
		return true
	}
	return false
}

// TestTheSchemaSaysWhatIsChecked holds the schema against the rules: it takes every record that is an event,
// and none that is not, but for what no schema can say.
func TestTheSchemaSaysWhatIsChecked(t *testing.T) {
	text, err := jsonschema.UnmarshalJSON(strings.NewReader(event.Schema))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	require.NoError(t, compiler.AddResource("event.schema.json", text))
	schema, err := compiler.Compile("event.schema.json")
	require.NoError(t, err)

	for _, c := range eventtest.Good() {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(c.Value))
		require.NoError(t, err, c.Name)
		require.NoError(t, schema.Validate(value), c.Name)
	}
	for _, c := range eventtest.Bad() {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(c.Value))
		if err == nil {
			err = schema.Validate(value)
		}
		if !isBeyondSchemas(c) {
			require.Error(t, err, c.Name)
		}
	}
}

// The schema among the documents is the one that is served.
func TestTheSchemaAmongTheDocuments(t *testing.T) {
	text, err := os.ReadFile("../../docs/event.schema.json")
	require.NoError(t, err)
	require.Equal(t, event.Schema, string(text))
}
