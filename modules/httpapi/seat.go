package httpapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"audittrail/modules/store"
	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

// The headers by which a caller never gets an answer that is older than one that it has.
const (
	positionHeader    = "Audittrail-Position"
	minPositionHeader = "Audittrail-Min-Position"
)

// Seats chooses the server that a request reads from: a [store.Reader].
type Seats interface {
	WithSeat(ctx context.Context, least int64) (context.Context, *store.Seat)
}

// mayLag reports whether a replica may answer an operation: it has the header by which a caller asks for a position.
func mayLag(op *openapi3.Operation) bool {
	return slices.ContainsFunc(op.Parameters, func(p *openapi3.ParameterRef) bool { return p.Value.Name == minPositionHeader })
}

// takeSeat has a request read from one server, which may be a replica. What a replica does not find is looked for at
// the primary: it may be too new.
func takeSeat(seats Seats) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			least, err := leastPosition(r.Header)
			if err != nil {
				return err
			}
			ctx, seat := seats.WithSeat(r.Context(), least)
			defer seat.Leave()
			c.SetRequest(r.WithContext(ctx))
			err = next(c)
			var missing *errs.Error
			if errors.As(err, &missing) && missing.Kind == errs.NotFound && seat.IsReplica() {
				seat.ToPrimary()
				err = next(c)
			}
			if err == nil {
				position := seat.Position()
				if shown := httpserver.ExchangeOf(ctx).Shown; shown != nil {
					position = max(position, shown.Last)
				}
				c.Response().Header().Set(positionHeader, strconv.FormatInt(position, 10))
			}
			return err
		}
	}
}

func leastPosition(h http.Header) (int64, error) {
	sent := h.Values(minPositionHeader)
	if len(sent) == 0 {
		return -1, nil
	}
	least, err := strconv.ParseInt(sent[0], 10, 64)
	if err != nil || least < 0 || len(sent) > 1 {
		return 0, invalid(minPositionHeader, "must be one position, a whole number of at least 0")
	}
	return least, nil
}
