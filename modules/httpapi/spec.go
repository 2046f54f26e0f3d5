package httpapi

import (
	_ "embed" // openapi.yaml
	"encoding/json"
	"fmt"

	"github.com/getkin/kin-openapi/openapi3"
)

//go:embed openapi.yaml
var document []byte

// Spec is the specification, loaded and checked.
type Spec struct {
	Doc  *openapi3.T
	JSON []byte // the document as /openapi.json serves it
}

// Load reads the specification that is part of the program. An error is a mistake in the program.
func Load() (*Spec, error) {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(document)
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	if err := doc.Validate(loader.Context); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	return &Spec{Doc: doc, JSON: text}, nil
}
