package query_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"audittrail/platform/longtest"
)

// browser starts a headless Chromium; it is skipped on a laptop without one, never in CI.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("no Chromium on PATH")
		}
		t.Skip("no Chromium on PATH: the page is not looked at")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.UserDataDir(t.TempDir()))
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestDocsInABrowser opens the page as a person would: the specification is drawn, an operation unfolds,
// a request with a token is sent from the page and answered, and neither the content security policy nor
// a script complains. Nothing is asked of any other host. So it is too behind a reverse proxy that serves
// the API below a path of its own, where nothing outside that path may be asked for.
func TestDocsInABrowser(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	below := a.belowAPath(t)
	t.Run("below a path", func(t *testing.T) { a.readDocs(t, below, "/docs") })
	t.Run("below a path, with a slash", func(t *testing.T) {
		longtest.Only(t, "it opens the page with a slash behind its path, which TestDocsLinksBelowAPath reads without a browser")
		a.readDocs(t, below, "/docs/")
	})
	t.Run("direct", func(t *testing.T) {
		longtest.Only(t, "it opens the page without a proxy in front")
		a.readDocs(t, a.url, "/docs")
	})
}

// belowAPath is the URL of the API behind a reverse proxy that strips a path.
func (a *api) belowAPath(t *testing.T) string {
	t.Helper()
	upstream, err := url.Parse(a.url)
	require.NoError(t, err)
	const prefix = "/audit/api"
	proxy := httptest.NewServer(http.StripPrefix(prefix, httputil.NewSingleHostReverseProxy(upstream)))
	t.Cleanup(proxy.Close)
	return proxy.URL + prefix
}

// What the page links is there, also below a path, and /docs/ leads to it.
func TestDocsLinksBelowAPath(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	page, err := url.Parse(a.belowAPath(t) + "/docs")
	require.NoError(t, err)
	fetch := func(u string) string {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
		require.NoError(t, err)
		response, err := a.client.Do(r)
		require.NoError(t, err)
		defer func() { require.NoError(t, response.Body.Close()) }()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode, u)
		return string(body)
	}
	html := fetch(page.String() + "/")
	require.Equal(t, html, fetch(page.String()))
	links := regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(html, -1)
	require.Len(t, links, 4)
	for _, link := range append(links, []string{"", "openapi.json"}) {
		u, err := page.Parse(link[1])
		require.NoError(t, err)
		fetch(u.String())
	}
}

// readDocs opens the page at path of the API at base.
func (a *api) readDocs(t *testing.T, base, path string) {
	t.Helper()
	ctx := browser(t)

	var (
		mu         sync.Mutex
		complaints []string
		elsewhere  []string
	)
	require.NoError(t, chromedp.Listen(ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch ev := ev.(type) {
		case *log.EventEntryAdded:
			if ev.Entry.Level == log.EntryLevelError {
				complaints = append(complaints, ev.Entry.Text)
			}
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, ev.ExceptionDetails.Text)
		case *network.EventRequestWillBeSent:
			if u := ev.Request.URL; !strings.HasPrefix(u, base+"/") && !strings.HasPrefix(u, "data:") {
				elsewhere = append(elsewhere, u)
			}
		}
	}))
	const operation = `#operations-events-listEvents`
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(base+path), chromedp.WaitVisible(`.opblock`)))
	title, err := chromedp.Run(ctx, chromedp.Text(`.info .title`))
	require.NoError(t, err)
	listed, err := chromedp.Run(ctx, chromedp.Text(`#swagger-ui`))
	require.NoError(t, err)

	require.NoError(t, chromedp.Do(ctx,
		chromedp.Click(`button.authorize`),
		chromedp.WaitVisible(`.auth-container input`),
		chromedp.SendKeys(`.auth-container input`, a.issuer.Token(nil)),
		chromedp.Click(`.auth-btn-wrapper button[type=submit]`),
		chromedp.Click(`.auth-btn-wrapper .btn-done`),
		chromedp.Click(operation+` .opblock-summary-control`),
		chromedp.WaitVisible(operation+` .try-out__btn`),
		chromedp.Click(operation+` .try-out__btn`),
		chromedp.WaitVisible(operation+` .execute`),
		chromedp.Click(operation+` .execute`),
		chromedp.WaitVisible(operation+` .live-responses-table .response-col_description pre`),
	))
	answered, err := chromedp.Run(ctx, chromedp.Text(operation+` .live-responses-table`))
	require.NoError(t, err)
	require.Contains(t, title, "audittrail")
	for _, path := range []string{"/v1/events", "/v1/feed", "/v1/dead-letters", "/v1/ingest/offsets"} {
		require.Contains(t, listed, path)
	}
	require.Contains(t, answered, "200")
	require.Contains(t, answered, `"nextCursor"`)
	mu.Lock()
	defer mu.Unlock()
	require.Empty(t, complaints)
	require.Empty(t, elsewhere)
}
