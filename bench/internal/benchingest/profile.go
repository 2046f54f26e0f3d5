package benchingest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// Profiling returns what a Run is observed with to write a CPU profile of it to a file.
func Profiling(ctx context.Context, path string) func(admin string) (finish func() error) {
	return func(admin string) (finish func() error) {
		fetched := make(chan error, 1)
		go func() { fetched <- fetchProfile(ctx, admin, path) }()
		return func() error { return <-fetched }
	}
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
