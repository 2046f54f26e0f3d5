package httpserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"audittrail/platform/errs"
)

// retryAfter is how many seconds a caller is asked to wait for a part that is away.
const retryAfter = 5

// problem is the document of RFC 9457 that every refusal is answered with.
type problem struct {
	Type          string         `json:"type"`
	Title         string         `json:"title"`
	Status        int            `json:"status"`
	Detail        string         `json:"detail"`
	Code          string         `json:"code"`
	Errors        []problemField `json:"errors"`
	CorrelationID string         `json:"correlationId"`
}

type problemField struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// status is the one place where the kind of an error becomes a status.
func status(kind errs.Kind) int {
	switch kind {
	case errs.Invalid:
		return http.StatusBadRequest
	case errs.Unauthenticated:
		return http.StatusUnauthorized
	case errs.Forbidden:
		return http.StatusForbidden
	case errs.NotFound:
		return http.StatusNotFound
	case errs.Conflict:
		return http.StatusConflict
	case errs.Unprocessable, errs.TooExpensive:
		return http.StatusUnprocessableEntity
	case errs.TooMany:
		return http.StatusTooManyRequests
	case errs.Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// public turns whatever a handler, the router or the generated code returned into an error with a public
// face, and its status. Texts of echo and the generated code quote values, and are dropped.
func public(err error) (*errs.Error, int) {
	var refused *echo.HTTPError
	if !errors.As(err, &refused) {
		e := errs.Of(err)
		return e, status(e.Kind)
	}
	switch refused.Code {
	case http.StatusNotFound:
		return errs.New(errs.NotFound, "not_found", "there is no such path"), refused.Code
	case http.StatusMethodNotAllowed:
		return errs.New(errs.Invalid, "method_not_allowed", "the path does not know this method"), refused.Code
	case http.StatusRequestEntityTooLarge:
		return errs.New(errs.Invalid, "request_too_large", "the request has a larger body than this path takes"), refused.Code
	case http.StatusBadRequest:
		return errs.New(errs.Invalid, "invalid_request", "the request can't be read").Because(err), refused.Code
	default:
		e := errs.Of(err)
		return e, status(e.Kind)
	}
}

// refuse writes err's problem document in place of whatever w holds.
func (s *Server) refuse(w *heldWriter, x *Exchange, err error) {
	if w.stream != nil { // too late for a problem
		w.failure = err
		return
	}
	e, code := public(err)
	if limited := s.limits.stranger(x, e); limited != e {
		e, code = limited, status(limited.Kind)
	}
	if code >= http.StatusInternalServerError && !gone(x.Request.Context()) {
		s.logCause(x, code, err)
	}
	x.Events = 0

	allow := w.Header().Values(echo.HeaderAllow) // of a 405, set by the router
	w.reset()
	h := w.Header()
	s.standardHeaders(h, x)
	if code == http.StatusMethodNotAllowed {
		h[echo.HeaderAllow] = allow
	}
	challenge(h, e)
	if code == http.StatusServiceUnavailable {
		h.Set(echo.HeaderRetryAfter, strconv.Itoa(retryAfter))
	}
	if code == http.StatusTooManyRequests {
		h.Set(echo.HeaderRetryAfter, strconv.Itoa(x.retryAfter))
	}
	h.Set(echo.HeaderCacheControl, "private, no-store")
	h.Set(echo.HeaderContentType, "application/problem+json")
	w.refusal(code, document(e, code, x.CorrelationID))
}

// challenge adds what a 401 must carry (RFC 6750, section 3): an error where there was a token, and none where
// there was none.
func challenge(h http.Header, e *errs.Error) {
	switch {
	case e.Kind != errs.Unauthenticated:
	case e.Code == "unauthenticated":
		h.Set(echo.HeaderWWWAuthenticate, `Bearer realm="audittrail"`)
	default:
		h.Set(echo.HeaderWWWAuthenticate, fmt.Sprintf(`Bearer realm="audittrail", error="invalid_token", error_description="%s"`, describable(e.Detail)))
	}
}

// describable drops the characters that an error_description may not have, so that no text ends it early.
func describable(detail string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, detail)
}

func document(e *errs.Error, code int, correlation string) []byte {
	p := problem{
		Type: "about:blank", Title: http.StatusText(code), Status: code,
		Detail: e.Detail, Code: e.Code, Errors: []problemField{}, CorrelationID: correlation,
	}
	if e.Field != "" {
		p.Errors = append(p.Errors, problemField{e.Field, e.Detail})
		p.Detail = e.Field + ": " + e.Detail
	}
	b, err := json.Marshal(p)
	if err != nil { // strings and numbers alone: can't be
		return []byte(`{"status":500,"code":"internal_error"}`)
	}
	return b
}

// gone says that the caller left before there was an answer; nobody reads what is written then.
func gone(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }
