package erase

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/protect"
	"audittrail/modules/store"
)

// Found is what a request saw: how much there is to erase, and what no erasure reaches. It is kept with the request,
// since later nobody knows the subject. It holds no value and no subject.
type Found struct {
	KeySince string `json:"keySince,omitempty"` // when the subject's key was made; "" if it has none
	Events   int64  `json:"events"`             // with values under it, at most store.Countable

	WrappingKeySince string   `json:"wrappingKeySince,omitempty"` // backups from then on open with the present key-encryption key
	Topics           []string `json:"topics"`                     // Kafka keeps their records as it is told to
	Replays          int64    `json:"replays"`                    // may have sent values elsewhere
	DeadLetters      int64    `json:"deadLetters"`                // whose values nobody can tell whose they are
	AggregateIDs     int64    `json:"aggregateIds"`               // events whose aggregateId is the subject
	UserIDs          int64    `json:"userIds"`                    // events whose userId is the subject, and open
	Unsealed         int64    `json:"unsealed"`                   // values of the subject's that were stored before their rule
	Complete         bool     `json:"complete"`                   // all events that may hold such values were looked at
}

// parseFound reads what a request saw. Erasures that a journal brought back saw nothing.
func parseFound(text []byte) (f Found, err error) {
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("read what a request found: %w", err)
	}
	if f.Topics == nil {
		f.Topics = []string{}
	}
	return f, nil
}

const (
	// surveyTime bounds the search for values that are stored open.
	surveyTime = 5 * time.Second

	// surveyEvents is how many events it looks at, of each place.
	surveyEvents = 5_000
)

// Surveyor looks what an erasure would reach, and what not.
type Surveyor struct {
	Reader *store.Reader // of the role audittrail_api
	Shreds *store.Shreds // likewise
	Keys   *store.Keys   // likewise, of the database of keys
	Rules  *protect.Rules
}

// survey looks at all events, whoever asks: the permission to erase can't be scoped.
func (s *Surveyor) survey(ctx context.Context, subject string, hash protect.SubjectHash) (f Found, key store.SubjectKey, err error) {
	if key, err = s.Keys.SubjectKey(ctx, hash); err != nil {
		return f, key, keysAway(err)
	}
	there, err := s.Shreds.Survey(ctx, key.ID, key.Since)
	if err != nil {
		return f, key, err
	}
	f = Found{KeySince: moment(key.Since), WrappingKeySince: moment(key.WrappingSince), Events: there.Events, Topics: there.Topics,
		Replays: there.Replays, DeadLetters: there.DeadLetters}
	if f.Topics == nil {
		f.Topics = []string{}
	}
	ctx = store.WithStoredForm(store.WithScope(ctx, store.Everything()))
	if f.AggregateIDs, _, err = s.Reader.Count(ctx, store.Filter{AggregateID: subject}); err != nil {
		return f, key, err
	}
	if f.UserIDs, _, err = s.Reader.Count(ctx, store.Filter{UserID: subject}); err != nil {
		return f, key, err
	}
	f.Unsealed, f.Complete = s.unsealed(ctx, subject)
	return f, key, nil
}

// unsealed counts the subject's values that were stored open, and reports whether it has looked everywhere.
func (s *Surveyor) unsealed(ctx context.Context, subject string) (n int64, complete bool) {
	ctx, cancel := context.WithTimeout(ctx, surveyTime)
	defer cancel()
	places, complete := s.Rules.Places(subject)
	counted := map[int64]bool{}
	for _, place := range places {
		filter := store.Filter{AggregateType: place.AggregateType, AggregateID: place.AggregateID, UserID: place.UserID, Payload: place.Payload}
		cursor, seen := "", 0
		for {
			page, err := s.Reader.Events(ctx, filter, store.Page{Limit: 1000, Cursor: cursor})
			if err != nil {
				complete = false
				break
			}
			for i := range page.Items {
				if e := &page.Items[i]; !counted[e.Position] {
					counted[e.Position] = true
					n += int64(s.Rules.Unsealed(&e.Event, subject))
				}
			}
			if cursor = page.Next; cursor == "" {
				break
			}
			if seen += len(page.Items); seen >= surveyEvents {
				complete = false
				break
			}
		}
	}
	return n, complete
}

// moment is a time as answers have it; "" for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return event.FormatTime(t.UTC())
}
