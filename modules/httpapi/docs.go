package httpapi

import (
	"context"
	_ "embed" // the page and its script
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"
	"github.com/swaggest/swgui/v5/static" // and not swgui's handler: its template would make the program megabytes larger
	"github.com/vearutop/statigz"

	"audittrail/modules/event"
	"audittrail/platform/httpserver"
)

//go:embed docs.html
var docsHTML string

//go:embed docs.js
var docsScript string

// docsPolicy lets the page load its own scripts, styles and pictures and ask its own server: nothing from
// elsewhere, no script in the page. Swagger UI sets styles on elements, and has icons as data URLs.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// docsAssets are the files of Swagger UI that the page wants.
func docsAssets() []string {
	return []string{"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"}
}

// htmlPage is the page of /docs.
type htmlPage []byte

// VisitGetDocsResponse writes the page.
func (p htmlPage) VisitGetDocsResponse(w http.ResponseWriter) error {
	w.Header().Set(echo.HeaderContentSecurityPolicy, docsPolicy)
	w.Header().Set(echo.HeaderContentType, echo.MIMETextHTMLCharsetUTF8)
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(p)
	return err
}

// Docs is the handler set that answers the specification, the page that shows it, and the schema of an event.
type Docs struct{ spec *Spec }

// NewDocs makes the handler set.
func NewDocs(spec *Spec) *Docs { return &Docs{spec} }

// GetDocs answers the page that shows the specification.
func (d *Docs) GetDocs(context.Context, GetDocsRequestObject) (GetDocsResponseObject, error) {
	return htmlPage(docsHTML), nil
}

// GetSpecification answers the specification.
func (d *Docs) GetSpecification(context.Context, GetSpecificationRequestObject) (GetSpecificationResponseObject, error) {
	return RawJSON(d.spec.JSON), nil
}

// GetEventSchema answers the schema of an event.
func (d *Docs) GetEventSchema(context.Context, GetEventSchemaRequestObject) (GetEventSchemaResponseObject, error) {
	return eventSchema(event.Schema), nil
}

// eventSchema is the schema of an event, for its producers.
type eventSchema string

// VisitGetEventSchemaResponse writes the schema.
func (s eventSchema) VisitGetEventSchemaResponse(w http.ResponseWriter) error {
	return sendAs(w, "application/schema+json", []byte(s))
}

// mountAssets serves what the page loads. The files are part of the program, and no secret.
func mountAssets(server *httpserver.Server) {
	swagger := http.StripPrefix("/docs", statigz.FileServer(static.FS))
	server.Echo().GET("/docs/start.js", func(c echo.Context) error {
		return c.Blob(http.StatusOK, "text/javascript; charset=utf-8", []byte(docsScript))
	}, letIn)
	// From /docs/ the page's relative links would lead nowhere, and so would /docs where a proxy serves the API
	// below a path of its own.
	server.Echo().GET("/docs/", func(c echo.Context) error { return c.Redirect(http.StatusPermanentRedirect, "../docs") }, letIn)
	server.Echo().GET("/docs/:asset", func(c echo.Context) error {
		if !slices.Contains(docsAssets(), c.Param("asset")) {
			return echo.ErrNotFound
		}
		swagger.ServeHTTP(c.Response(), c.Request())
		return nil
	}, letIn)
	server.Expect("/docs/start.js", http.MethodGet, http.StatusOK)
	server.Expect("/docs/", http.MethodGet, http.StatusPermanentRedirect)
	server.Expect("/docs/{asset}", http.MethodGet, http.StatusOK)
}
