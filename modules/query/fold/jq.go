package fold

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/itchyny/gojq"

	"audittrail/modules/event"
)

// jqTime is how long a program may take for one event.
const jqTime = 500 * time.Millisecond

// compileJQ compiles a program. It sees no environment, no files and no other input.
func compileJQ(text string) (*gojq.Code, error) {
	query, err := gojq.Parse(text)
	if err != nil {
		return nil, err
	}
	return gojq.Compile(query)
}

// compute makes the first result of a program over {state, event} the new state. A program without a
// result leaves the state as it is.
func (t *tree) compute(ctx context.Context, program *gojq.Code, e *event.Stored) error {
	state, err := looseValue(t.root.append(nil))
	if err != nil {
		return err
	}
	seen, err := looseValue(e.AppendJSON(nil))
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, jqTime)
	defer cancel()
	result, some := program.RunWithContext(bounded, map[string]any{"state": state, "event": seen}).Next()
	if !some {
		return nil
	}
	if err, failed := result.(error); failed {
		return err
	}
	text, err := gojq.Marshal(result)
	if err != nil {
		return err
	}
	if len(text) > MaxState {
		return ErrTooLarge
	}
	if text, err = event.Canonicalize(nil, text); err != nil {
		return err
	}
	value, err := parse(text)
	if err != nil {
		return err
	}
	if value.isNull() {
		return errors.New("the result is null")
	}
	t.assign(t.root, value)
	return nil
}

// looseValue reads JSON as jq's values are. Numbers keep their spelling until a program computes with them.
func looseValue(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var value any
	err := d.Decode(&value)
	return value, err
}
