package httpapi

import (
	"context"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"audittrail/modules/ledger"
	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

// tileRoute is beside the specification, which knows no parameter that holds slashes.
const tileRoute = "/v1/ledger/:log/tile/*"

// Tiles answers the hashes of a log's tiles.
type Tiles interface {
	// Tile answers the first width hashes of a tile, or not_found where the tile is not that wide in what
	// is signed.
	Tile(ctx context.Context, log ledger.Log, id ledger.TileID, width int) ([]ledger.Hash, error)
}

// mountTiles registers the paths of tiles (C2SP tlog-tiles). Entries are not served: they would pass by
// what a caller may see.
func mountTiles(server *httpserver.Server, tiles Tiles, checks ...echo.MiddlewareFunc) {
	checks = append(checks, wantNoQuery())
	server.Echo().GET(tileRoute, func(c echo.Context) error {
		log, err := ledger.ParseLog(c.Param("log"))
		if err != nil {
			return errNoTile
		}
		id, width, err := ledger.ParseTilePath(c.Param("*"))
		if err != nil || !sentPlainly(c.Request()) {
			return errNoTile
		}
		hashes, err := tiles.Tile(c.Request().Context(), log, id, width)
		if err != nil {
			return err
		}
		return sendTile(c, ledger.AppendHashes(nil, hashes))
	}, checks...)
	server.Expect("/v1/ledger/{log}/tile/*", http.MethodGet, http.StatusOK, http.StatusNotModified, http.StatusNotFound)
}

// sendTile sends a tile, or only that it is as the caller has it. The tag is made from the hashes, not from
// the path: a log that was begun anew under the same name has other tiles.
func sendTile(c echo.Context, hashes []byte) error {
	etag := httpserver.ETag(hashes)
	immutableHead(c.Response(), etag)
	if httpserver.MatchesETag(c.Request().Header.Get("If-None-Match"), etag) {
		return c.NoContent(http.StatusNotModified)
	}
	return sendAs(c.Response(), echo.MIMEOctetStream, hashes)
}

// sentPlainly says whether a path came without percent-encoding that it does not need, and without a ?: caches
// must know a tile by one name.
func sentPlainly(r *http.Request) bool {
	sent, err := url.ParseRequestURI(r.RequestURI)
	return err == nil && sent.EscapedPath() == r.URL.EscapedPath() && !sent.ForceQuery
}

var errNoTile = errs.New(errs.NotFound, "not_found", "there is no such tile: paths are as tile/0/x001/234 or tile/1/005.p/17")

// wantNoQuery refuses query parameters where there are none.
func wantNoQuery() echo.MiddlewareFunc {
	none := &rules{}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := none.checkQuery(c.Request().URL.RawQuery); err != nil {
				return err
			}
			return next(c)
		}
	}
}
