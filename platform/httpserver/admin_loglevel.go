package httpserver

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"audittrail/platform/logging"
)

// maxLevelBody bounds the body of PUT /loglevel.
const maxLevelBody = 1 << 10

// levelBody is what PUT /loglevel takes, and both methods answer.
type levelBody struct {
	Level string `json:"level"`
}

func (a *Admin) logLevel(w http.ResponseWriter, _ *http.Request) {
	send(w, http.StatusOK, levelBody{logging.LevelName(a.deps.Level.Level())})
}

// setLogLevel changes the level until the process ends, for whoever is on the machine, or in the container. The port asks
// nobody for a credential, and debug lines cost disk and time.
func (a *Admin) setLogLevel(w http.ResponseWriter, r *http.Request) {
	if !isLocal(r) {
		send(w, http.StatusForbidden, map[string]any{"reason": "the level can be changed from the machine itself alone, by its loopback address, as http://127.0.0.1"})
		return
	}
	var body levelBody
	err := json.UnmarshalRead(io.LimitReader(r.Body, maxLevelBody), &body, json.RejectUnknownMembers(true))
	levels := logging.Levels()
	if err != nil || !slices.Contains(levels, body.Level) {
		send(w, http.StatusBadRequest, map[string]any{"reason": `the body must be {"level":"…"}, with one of ` + strings.Join(levels, ", ")})
		return
	}
	before := logging.LevelName(a.deps.Level.Level())
	logging.Options{Level: body.Level}.SetLevel(a.deps.Level)
	a.deps.Log.LogAttrs(r.Context(), slog.LevelWarn, "the log level was changed", slog.String("from", before), slog.String("to", body.Level))
	a.logLevel(w, r)
}

// isLocal reports whether a request comes from the machine itself, from no proxy on it, and is meant for it. A page in a
// browser on the machine may send requests here by a name of its own that leads to loopback (DNS rebinding): their Host
// has that name.
func isLocal(r *http.Request) bool {
	if !namesLoopback(r.Host) {
		return false
	}
	for _, header := range []string{"X-Forwarded-For", "Forwarded"} {
		if r.Header.Get(header) != "" {
			return false
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

// namesLoopback reports whether a Host header names the machine itself: by localhost, or by a loopback address.
func namesLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}
