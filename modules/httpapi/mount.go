package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"audittrail/modules/access"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/auth"
	"audittrail/platform/httpserver"
)

// Entrance is how requests are let in.
type Entrance struct {
	Verifier     *auth.Verifier
	Certificates auth.Certificates // who the holders of client certificates are
	Policy       *access.Policy
	Seats        Seats          // which server answers; nil for the primary alone
	Rules        *protect.Rules // which fields are sealed: entries of the access log don't hold values of them
	PublicLedger bool           // ledger.public: operations that want a token or none want none
}

// API is all that is served: the specification's operations, and the tiles. Several handler sets fulfil it
// together: [Docs], and those of the modules.
type API interface {
	StrictServerInterface
	Tiles
}

// Mount registers every operation of the specification on the server, the paths of tiles, and the files that
// the page of /docs loads. Each request is checked in this order: its credential, unless the operation wants none;
// the permission that the operation declares; its parameters, and its body, by the specification. An error is a mistake in the program: an operation that can't be checked is not
// served.
func Mount(server *httpserver.Server, spec *Spec, entrance Entrance, api API) error {
	checks := map[string][]echo.MiddlewareFunc{}
	for path, item := range spec.Doc.Paths.Map() {
		for method, op := range item.Operations() {
			rules, err := parameterRules(op)
			if err != nil {
				return fmt.Errorf("openapi.yaml: %s %s: %w", method, path, err)
			}
			permission, err := permissionOf(op)
			if err != nil {
				return fmt.Errorf("openapi.yaml: %s %s: %w", method, path, err)
			}
			body, err := bodyOf(op)
			if err != nil {
				return fmt.Errorf("openapi.yaml: %s %s: %w", method, path, err)
			}
			checks[op.OperationID] = append(checks[op.OperationID], noteQuery(rules, entrance.Rules))
			if isPublic(spec.Doc, op) || entrance.PublicLedger && mayBePublic(op) {
				checks[op.OperationID] = append(checks[op.OperationID], letIn)
			} else {
				checks[op.OperationID] = append(checks[op.OperationID], wantToken(entrance), wantPermission(permission))
			}
			checks[op.OperationID] = append(checks[op.OperationID], wantParameters(rules), wantBody(body))
			if entrance.Seats != nil && mayLag(op) {
				checks[op.OperationID] = append(checks[op.OperationID], takeSeat(entrance.Seats))
			}
			server.Expect(path, method, statuses(op)...)
		}
	}
	RegisterHandlersWithOptions(server.Echo(), NewStrictHandler(api, nil), RegisterHandlersOptions{
		OperationMiddlewares: checks,
	})
	if entrance.PublicLedger {
		mountTiles(server, api, letIn)
	} else {
		mountTiles(server, api, wantToken(entrance), wantPermission(access.ProofsRead))
	}
	mountAssets(server)
	return nil
}

// isPublic says whether an operation wants no credential: it says so itself, with an empty list.
func isPublic(doc *openapi3.T, op *openapi3.Operation) bool {
	if op.Security != nil {
		return len(*op.Security) == 0
	}
	return len(doc.Security) == 0
}

// mayBePublic says whether an operation wants a token or none, by configuration: one of its requirements
// is empty.
func mayBePublic(op *openapi3.Operation) bool {
	return op.Security != nil && slices.ContainsFunc(*op.Security, func(r openapi3.SecurityRequirement) bool { return len(r) == 0 })
}

// permissionOf is what an operation declares that its caller must be allowed.
func permissionOf(op *openapi3.Operation) (access.Permission, error) {
	name, _ := op.Extensions["x-permission"].(string)
	permission := access.Permission(name)
	if permission != access.None && !slices.Contains(access.Permissions(), permission) {
		return "", errors.New("x-permission is missing, or is no permission")
	}
	return permission, nil
}

// letIn lets every request pass. It shows no event, so nobody needs to know who asked.
func letIn(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		httpserver.ExchangeOf(c.Request().Context()).Open = true
		return withoutEvents(next)(c)
	}
}

// withoutEvents lets a request pass that reads no event.
func withoutEvents(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		c.SetRequest(r.WithContext(store.WithScope(r.Context(), store.Scope{})))
		return next(c)
	}
}

// noteQuery keeps the parameters that the operation knows for the access log, also of a request that is refused.
func noteQuery(r *rules, sealed *protect.Rules) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			known := r.knownOf(c.Request().URL.RawQuery)
			sealed.MaskQuery(known)
			httpserver.ExchangeOf(c.Request().Context()).Query = known
			return next(c)
		}
	}
}

// wantPermission lets a request pass whose caller has the permission. What it reads is what that shows.
func wantPermission(permission access.Permission) echo.MiddlewareFunc {
	if permission == access.None {
		return withoutEvents
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			ctx, err := access.Require(r.Context(), permission)
			if err != nil {
				return err
			}
			c.SetRequest(r.WithContext(opening(ctx, c.Response())))
			return next(c)
		}
	}
}

// opening lets reads open sealed values for a caller who may see them. No cache may keep such an answer, and its entry
// in the access log says whose values were opened.
func opening(ctx context.Context, w http.ResponseWriter) context.Context {
	grant := access.GrantOf(ctx)
	if !grant.Has(access.PIIRead) {
		return ctx
	}
	return store.WithOpening(ctx, grant.Scope(access.PIIRead), func(keys []protect.KeyID) {
		ids := make([]string, len(keys))
		for i, id := range keys {
			ids[i] = id.String()
		}
		httpserver.ShowOpened(ctx, ids)
		w.Header().Set(echo.HeaderCacheControl, "private, no-store")
	})
}

// principal returns who sent a request. A token decides alone where there is one: a service that has a certificate
// may ask on somebody's behalf, and gets what that caller may see.
func (e Entrance) principal(r *http.Request) (auth.Principal, error) {
	tokens := r.Header.Values(echo.HeaderAuthorization)
	if len(tokens) == 0 {
		if p, ok := e.Certificates.Principal(r.TLS); ok {
			return p, nil
		}
	}
	return e.Verifier.Bearer(r.Context(), tokens)
}

// wantToken lets a request pass whose token is accepted, or its client certificate.
func wantToken(entrance Entrance) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			principal, err := entrance.principal(r)
			if err != nil {
				return err
			}
			grant := entrance.Policy.Grant(principal.Roles)
			x := httpserver.ExchangeOf(r.Context())
			x.Roles = grant.Roles()
			if err := x.Accept(principal.Subject); err != nil {
				return err
			}
			c.SetRequest(r.WithContext(access.WithGrant(auth.WithPrincipal(r.Context(), principal), grant)))
			c.Response().Header().Set(echo.HeaderCacheControl, cachePrivate)
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
