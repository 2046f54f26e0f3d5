package access

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/httpserver"
)

// The phases of an erasure. Its entries stand beside that of the request itself.
const (
	phaseRequested httpserver.Phase = "requested"
	phaseDone      httpserver.Phase = "done"
)

// ErasureRoute is the route that entries of an erasure have, however it was asked for.
const ErasureRoute = "/v1/subjects/shred"

// Erasure is what an entry says of one.
type Erasure struct {
	ID        event.ID
	Subject   protect.SubjectHash
	Principal string
	Roles     []string

	CorrelationID, RemoteAddr string // "" where there was no request
}

// Requested is the entry of an erasure that is about to be carried out.
func (e Erasure) Requested(at time.Time) (store.AccessEntry, error) {
	return e.entry(phaseRequested, http.StatusAccepted, at, map[string][]string{})
}

// Done is the entry of an erasure that was carried out: its certificate. Its query says which keys were destroyed, and
// how many events had values under them.
func (e Erasure) Done(at time.Time, keys []protect.KeyID, events int64) (store.AccessEntry, error) {
	said := map[string][]string{"erasedEvents": {strconv.FormatInt(events, 10)}, "destroyedKeys": {}}
	for _, key := range keys {
		said["destroyedKeys"] = append(said["destroyedKeys"], key.String())
	}
	return e.entry(phaseDone, http.StatusOK, at, said)
}

func (e Erasure) entry(phase httpserver.Phase, status int, at time.Time, query map[string][]string) (store.AccessEntry, error) {
	query["shred"] = []string{e.ID.String()}
	return entryOf(&httpserver.Exchange{
		Request: &http.Request{Method: http.MethodPost, URL: &url.URL{Path: ErasureRoute}}, Route: ErasureRoute, Phase: phase, Status: status,
		Principal: e.Principal, Roles: e.Roles, Subject: e.Subject.String(), Query: query, CorrelationID: e.CorrelationID, RemoteAddr: e.RemoteAddr,
	}, at)
}
