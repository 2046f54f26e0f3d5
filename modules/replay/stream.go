package replay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"audittrail/modules/httpapi"
	"audittrail/modules/store"
	"audittrail/platform/auth"
	"audittrail/platform/errs"
)

const (
	// maxStreams is how many streams of progress a process sends at once.
	maxStreams = 64

	// streamEvery is how often a stream looks for progress.
	streamEvery = 500 * time.Millisecond

	// heartbeat is how often a stream says that it is there: proxies end connections that are silent for a minute.
	heartbeat = 15 * time.Second
)

var errStreams = errs.New(errs.Unavailable, "unavailable", "too many replays are being watched; try again later")

// Run ends all streams when ctx ends. Whoever serves the endpoints MUST run it.
func (h *Endpoints) Run(ctx context.Context) {
	<-ctx.Done()
	close(h.over)
}

// wantsStream reports whether a request asks for server-sent events.
func wantsStream(r *http.Request) bool {
	return r != nil && strings.Contains(strings.Join(r.Header.Values("Accept"), ","), httpapi.EventStreamType)
}

// hasEnded reports whether nothing will change any more, unless somebody asks for it.
func hasEnded(state store.ReplayState) bool {
	return state == store.ReplayCompleted || state == store.ReplayCancelled || state == store.ReplayFailed
}

// stream sends a job's progress until the job ends, the caller leaves, its token expires or the server stops.
func (h *Endpoints) stream(ctx context.Context, job store.Replay) httpapi.ReplayStream {
	return httpapi.ReplayStream{Write: func(start func() (httpapi.ExportStream, error)) error {
		select {
		case h.streams <- struct{}{}:
			defer func() { <-h.streams }()
		default:
			return errStreams
		}
		to, err := start()
		if err != nil {
			return err
		}
		p, _ := auth.PrincipalOf(ctx)
		out, look, until := bufio.NewWriter(to), time.NewTicker(streamEvery), p.AcceptedUntil()
		defer look.Stop()
		var told []byte
		for beat := time.Now(); ; {
			text, err := json.Marshal(answer(&job))
			if err != nil {
				return err
			}
			switch now := time.Now(); {
			case !bytes.Equal(text, told):
				told, beat = text, now
				_, _ = out.WriteString("data: " + string(text) + "\n\n") // its error is Flush's
			case now.Sub(beat) >= heartbeat:
				beat = now
				_, _ = out.WriteString(":\n")
			}
			if err := out.Flush(); err != nil {
				return err
			}
			if err := to.Flush(); err != nil {
				return err
			}
			if hasEnded(job.State) || !time.Now().Before(until) {
				return nil
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-h.over:
				return nil
			case <-look.C:
			}
			if job, err = h.Jobs.Get(ctx, job.ID); err != nil {
				return err
			}
		}
	}}
}
