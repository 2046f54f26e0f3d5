package query_test

import (
	"encoding/base64"
	"flag"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"

	"audittrail/modules/httpapi"
	"audittrail/platform/longtest"
)

// TestMain runs more tests at once than there are processors: much of their time is PostgreSQL's, or waiting
// for a feed or a timeout. The tests that run alone measure the heap, look for goroutines that were left, or
// count feeds that are held for a second.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	longtest.FewerChecks(25)
	learnForms()
	m.Run()
}

// learnForms tells the checker of answers the forms that it does not know, and a check of base64 that takes
// long texts: its own is a regular expression.
func learnForms() {
	for _, kind := range []string{httpapi.NDJSONType, "text/csv", httpapi.MermaidType, httpapi.GraphvizType} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.FileBodyDecoder) // text, as far as it is checked
	}
	openapi3.DefineStringFormatValidator("byte", openapi3.NewCallbackValidator(func(text string) error {
		_, err := base64.StdEncoding.DecodeString(text)
		return err
	}))
}
