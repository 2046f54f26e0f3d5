package erase

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"time"

	"audittrail/modules/access"
	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/errs"
)

// Requester makes requests to erase.
type Requester struct {
	Surveyor

	Hash func(ctx context.Context, subject string) (protect.SubjectHash, error) // of a keyring
}

// Asked is who wants a subject erased, and why.
type Asked struct {
	Subject, Reason string
	Principal       string
	Roles           []string

	CorrelationID, RemoteAddr string // "" where there was no request
}

// Preview is what an erasure would reach, and what not.
type Preview struct {
	Found

	Hash    protect.SubjectHash
	Key     *protect.KeyID // nil if the subject has none
	Earlier time.Time      // when it was erased before; zero if never
}

func keysAway(err error) error {
	return errs.New(errs.Unavailable, "unavailable", "the database of keys can't be reached right now; try again later").Because(err)
}

// Preview looks, and changes nothing.
func (r *Requester) Preview(ctx context.Context, a Asked) (p Preview, err error) {
	if err := a.check(); err != nil {
		return p, err
	}
	if p.Hash, err = r.Hash(ctx, a.Subject); err != nil {
		return p, err
	}
	found, key, err := r.survey(ctx, a.Subject, p.Hash)
	p.Found, p.Key, p.Earlier = found, key.ID, key.Erased
	return p, err
}

// Request makes a request, and returns its id. Who carries it out is told by the event store.
func (r *Requester) Request(ctx context.Context, a Asked) (id event.ID, p Preview, err error) {
	if p, err = r.Preview(ctx, a); err != nil {
		return id, p, err
	}
	found, err := json.Marshal(p.Found)
	if err != nil {
		return id, p, err
	}
	id, at := newID(), time.Now().UTC().Truncate(time.Microsecond)
	entry, err := access.Erasure{
		ID: id, Subject: p.Hash, Principal: a.Principal, Roles: a.Roles, CorrelationID: a.CorrelationID, RemoteAddr: a.RemoteAddr,
	}.Requested(at)
	if err != nil {
		return id, p, err
	}
	return id, p, r.Shreds.Request(ctx, store.NewShred{ID: id, At: at, Subject: p.Hash, By: a.Principal, Reason: a.Reason, Found: found}, entry)
}

// newID is a random UUID (RFC 9562, version 4).
func newID() (id event.ID) {
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// check refuses what can't be a subject, and reasons that would keep the subject for ever.
func (a Asked) check() error {
	for _, text := range []struct{ field, value string }{{"subject", a.Subject}, {"reason", a.Reason}} {
		if !protect.IsSubject(text.value) { // a reason keeps to the same, and to more
			return errs.New(errs.Invalid, "invalid_parameter", "must have 1 to %d characters, and no control characters", protect.MaxSubject).InField(text.field)
		}
	}
	if !httpapi.IsLine(a.Reason) {
		return errs.New(errs.Invalid, "invalid_parameter", "must hold no character that changes the direction of text or ends a line, such as U+202E and U+2028").InField("reason")
	}
	if strings.Contains(strings.ToLower(a.Reason), strings.ToLower(a.Subject)) {
		return errs.New(errs.Invalid, "invalid_parameter", "must not hold the subject: it is kept for ever; name a ticket").InField("reason")
	}
	return nil
}
