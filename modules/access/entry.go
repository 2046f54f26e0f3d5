package access

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/httpserver"
)

// maxText is how many characters of a text an entry holds.
const maxText = 1000

// entry is an entry of the access log as it is listed, without its position. Its members are leaves of a log: they
// never change their names or meaning.
type entry struct {
	Time          string              `json:"time"`
	Phase         httpserver.Phase    `json:"phase"`
	Principal     string              `json:"principal"`
	Roles         []string            `json:"roles"`
	Method        string              `json:"method"`
	Route         string              `json:"route"`
	Path          string              `json:"path"`
	Query         map[string][]string `json:"query"`
	Status        int                 `json:"status"`
	Events        *int                `json:"events"` // null at a stream's start
	First         *int64              `json:"first"`  // null where no event was shown
	Last          *int64              `json:"last"`
	Opened        []string            `json:"opened"`
	Subject       *string             `json:"subject"`
	CorrelationID string              `json:"correlationId"`
	RemoteAddr    string              `json:"remoteAddr"`
	Salt          string              `json:"salt"`
}

// anonymous is the principal of a request without a valid token.
const anonymous = "anonymous"

// entryOf makes the entry of an exchange.
func entryOf(x *httpserver.Exchange, at time.Time) (store.AccessEntry, error) {
	at = at.UTC().Truncate(time.Microsecond)
	var salt [16]byte
	_, _ = rand.Read(salt[:]) // never fails (crypto/rand)
	e := entry{
		Time: event.FormatTime(at), Phase: x.Phase, Principal: text(x.Principal), Roles: []string{}, Method: method(x.Request.Method),
		Route: text(x.Route), Path: text(x.Request.URL.EscapedPath()), Query: map[string][]string{}, Status: x.Status,
		Opened: []string{}, CorrelationID: x.CorrelationID, RemoteAddr: text(x.RemoteAddr),
		Salt: base64.RawURLEncoding.EncodeToString(salt[:]),
	}
	if e.Principal == "" {
		e.Principal = anonymous
	}
	for _, role := range x.Roles {
		e.Roles = append(e.Roles, text(role))
	}
	for name, values := range x.Query {
		for _, value := range values {
			e.Query[text(name)] = append(e.Query[text(name)], text(value))
		}
	}
	e.Opened = append(e.Opened, x.Opened...)
	if x.Subject != "" {
		e.Subject = &x.Subject
	}
	if x.Phase != httpserver.PhaseStart {
		e.Events = &x.Events
		if x.Shown != nil {
			e.First, e.Last = &x.Shown.First, &x.Shown.Last
		}
	}
	body, err := json.Marshal(e)
	if err != nil {
		return store.AccessEntry{}, fmt.Errorf("write access entry: %w", err)
	}
	canonical, err := event.Canonicalize(nil, body)
	if err != nil {
		return store.AccessEntry{}, fmt.Errorf("write access entry: %w", err)
	}
	return store.AccessEntry{Time: at, Canonical: canonical}, nil
}

// IsOwnName reports whether entries name a principal by what is its own alone: not by what those without a token are
// called, and not by the beginning of a long name.
func IsOwnName(subject string) bool { return subject != anonymous && text(subject) == subject }

// text is a caller's text as an entry can hold it: valid UTF-8 without NUL, and not long.
func text(s string) string {
	if len(s) > 4*maxText { // no more than that can be kept of it
		s = s[:4*maxText]
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if runes := []rune(s); len(runes) > maxText {
		s = string(runes[:maxText])
	}
	return s
}

// method is a method that HTTP has. A caller may send any word.
func method(name string) string {
	switch name {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return name
	}
	return text(name)
}
