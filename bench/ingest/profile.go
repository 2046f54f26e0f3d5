package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"audittrail/bench/internal/benchingest"
)

// profile takes a CPU profile of the ingest process over one more measurement.
func (b *bench) profile(ctx context.Context, path string) error {
	n := len(b.workload.records)
	s, err := b.ingest(ctx, benchingest.Run{Topic: topicAll, Records: n, Stored: int64(n), Observe: func(admin string) (finish func() error) {
		fetched := make(chan error, 1)
		go func() { fetched <- fetchProfile(ctx, admin, path) }()
		return func() error { return <-fetched }
	}})
	if err == nil {
		benchingest.Progress("profiled at %.0f records/s", s.rate())
	}
	return err
}

// fetchProfile asks for a few seconds, which a measurement of the default size outlasts.
func fetchProfile(ctx context.Context, admin, path string) error {
	const seconds = 5
	ctx, cancel := context.WithTimeout(ctx, 4*seconds*time.Second)
	defer cancel()
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", admin, seconds)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, response.Body); err != nil {
		_ = f.Close() // the copy's failure is the one to tell
		return err
	}
	return f.Close()
}
