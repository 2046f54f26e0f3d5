// Package httpapitest has the specification of the API, for tests that serve a part of it and check its answers.
package httpapitest

import (
	"sync"

	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"audittrail/modules/httpapi"
)

// Specification is read once for all tests, none of which may change it: that takes longer than many a test.
var Specification = sync.OnceValues(httpapi.Load)

// Router finds the operation of a request, for the checker of answers.
var Router = sync.OnceValues(func() (routers.Router, error) {
	spec, err := httpapi.Load()
	if err != nil {
		return nil, err
	}
	spec.Doc.Servers = nil // the one there is relative to the document's place, which the router can't know
	return gorillamux.NewRouter(spec.Doc)
})
