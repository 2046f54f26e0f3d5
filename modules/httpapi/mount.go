package httpapi

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"audittrail/platform/auth"
	"audittrail/platform/httpserver"
)

// Mount registers every operation of the specification on the server. Each request is checked in this
// order: its credential, unless the operation wants none, and then its parameters, by the specification.
// An error is a mistake in the program: an operation that can't be checked is not served.
func Mount(server *httpserver.Server, spec *Spec, verifier *auth.Verifier, api StrictServerInterface) error {
	checks := map[string][]echo.MiddlewareFunc{}
	for path, item := range spec.Doc.Paths.Map() {
		for method, op := range item.Operations() {
			rules, err := parameterRules(op)
			if err != nil {
				return fmt.Errorf("openapi.yaml: %s %s: %w", method, path, err)
			}
			if !isPublic(spec.Doc, op) {
				checks[op.OperationID] = append(checks[op.OperationID], wantToken(verifier))
			}
			checks[op.OperationID] = append(checks[op.OperationID], wantParameters(rules))
			server.Expect(path, method, statuses(op)...)
		}
	}
	RegisterHandlersWithOptions(server.Echo(), NewStrictHandler(api, nil), RegisterHandlersOptions{
		OperationMiddlewares: checks,
	})
	return nil
}

// isPublic says whether an operation wants no credential: it says so itself, with an empty list.
func isPublic(doc *openapi3.T, op *openapi3.Operation) bool {
	if op.Security != nil {
		return len(*op.Security) == 0
	}
	return len(doc.Security) == 0
}

// wantToken lets a request pass whose token is accepted.
func wantToken(verifier *auth.Verifier) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			principal, err := verifier.Bearer(r.Context(), r.Header.Values(echo.HeaderAuthorization))
			if err != nil {
				return err
			}
			httpserver.ExchangeOf(r.Context()).Principal = principal.Subject
			c.SetRequest(r.WithContext(auth.WithPrincipal(r.Context(), principal)))
			c.Response().Header().Set(echo.HeaderCacheControl, "private")
			c.Response().Header().Set(echo.HeaderVary, echo.HeaderAuthorization)
			return next(c)
		}
	}
}

func statuses(op *openapi3.Operation) []int {
	var codes []int
	for status := range op.Responses.Map() {
		if code, err := strconv.Atoi(status); err == nil && http.StatusText(code) != "" {
			codes = append(codes, code)
		}
	}
	return codes
}
