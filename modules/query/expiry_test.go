package query

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/store"
	"audittrail/platform/auth"
	"audittrail/platform/errs"
)

// The skew that clocks may have, by which a token is accepted longer than it says.
const skew = 30 * time.Second

// until is a context of a caller whose token expires after this time.
func until(t *testing.T, left time.Duration) context.Context {
	return auth.WithPrincipal(t.Context(), auth.Principal{Subject: "ann", ExpiresAt: time.Now().Add(left)})
}

// pages counts what an export writes.
type pages struct {
	written int
	ended   bool
}

func (p *pages) page(context.Context, []event.Stored) error { p.written++; return nil }
func (p *pages) end() error                                 { p.ended = true; return nil }

func TestAnExportEndsWithItsToken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		left    time.Duration
		written int
	}{
		"a token that lasts":        {time.Hour, 10},
		"one that ends on the way":  {4*time.Second + time.Millisecond - skew, 4},
		"one that ended at the end": {10*time.Second - skew, 9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &pages{}
				source := func(yield func([]event.Stored, error) bool) {
					for range 10 {
						if <-time.After(time.Second); !yield(make([]event.Stored, 1), nil) {
							return
						}
					}
				}
				err := streamExport(until(t, c.left), source, newExportOutput(&lateStream{start: func() (httpapi.ExportStream, error) { return nil, errors.New("nothing is sent") }}, false),
					func(io.Writer) (exportWriter, error) { return w, nil })
				require.Equal(t, c.written, w.written)
				if c.written == 10 {
					require.NoError(t, err)
				} else {
					require.Equal(t, "token_expired", errs.Of(err).Code)
				}
				require.Equal(t, err == nil, w.ended, "a part of an export does not look like a whole one")
			})
		})
	}
}

// stillStore has no events.
type stillStore struct{ Reader }

func (stillStore) Head(context.Context) (int64, error) { return -1, nil }
func (stillStore) Listen(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

func (stillStore) Feed(_ context.Context, _ store.Filter, after int64, _ int) (store.FeedPage, error) {
	return store.FeedPage{Items: []event.Stored{}, ScannedTo: after}, nil
}

func TestAFeedWaitsNoLongerThanItsToken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ left, waits time.Duration }{
		"a token that lasts":       {time.Hour, 20 * time.Second},
		"one that ends on the way": {7*time.Second - skew, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, err := NewHandlers(Options{Reader: stillStore{}, MaxWaits: 1})
				require.NoError(t, err)
				ctx, stop := context.WithCancel(t.Context())
				defer synctest.Wait()
				defer stop()
				go h.Run(ctx)
				wait, begun := int32(20), time.Now()
				_, err = h.ReadFeed(until(t, c.left), httpapi.ReadFeedRequestObject{Params: httpapi.ReadFeedParams{Wait: &wait}})
				require.NoError(t, err)
				require.Equal(t, c.waits, time.Since(begun))
			})
		})
	}
}
