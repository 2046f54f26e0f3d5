package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"audittrail/bench/internal/benchingest"
)

// reading is what one measurement of one side gave.
type reading struct {
	Rate float64 `json:"perSecond"`
	P50  float64 `json:"p50Milliseconds"`
	P99  float64 `json:"p99Milliseconds"`

	// What a request takes of the cores; 0 where that can't be read.
	OwnMicros    float64 `json:"ownCPUMicroseconds"` // of the API's process, or of pgbench
	ServerMicros float64 `json:"serverCPUMicroseconds"`
}

// cpu is what a request takes in all, but for who asks the API.
func (r reading) cpu() float64 { return r.OwnMicros + r.ServerMicros }

// spent puts CPU seconds down to the requests.
func (r *reading) spent(own, server float64, requests int) {
	r.OwnMicros, r.ServerMicros = own/float64(requests)*1e6, server/float64(requests)*1e6
}

// readingOf makes a reading of how long each request took. It sorts them.
func readingOf(rate float64, took []time.Duration) reading {
	slices.Sort(took)
	at := func(share float64) float64 {
		if len(took) == 0 {
			return 0
		}
		return float64(took[min(int(share*float64(len(took))), len(took)-1)].Microseconds()) / 1000
	}
	return reading{Rate: rate, P50: at(0.50), P99: at(0.99)}
}

// target is an API that is asked, with the processes whose CPU time that costs; 0 where nobody wants to know.
type target struct {
	addr        string
	pid, server int // of the API, and of PostgreSQL's first process
}

// load asks the API, with so many requests under way all the time, each worker on a connection of its own and through
// the requests in turn. Any answer but 200 ends it. It speaks plain HTTP/1.1 without net/http's client, which would
// take as much of the cores as the API.
func load(ctx context.Context, api target, token string, paths []string, workers int, lasts time.Duration) (reading, error) {
	requests := make([][]byte, len(paths))
	for i, path := range paths {
		requests[i] = []byte("GET " + path + " HTTP/1.1\r\nHost: " + api.addr + "\r\nAuthorization: Bearer " + token + "\r\n\r\n")
	}
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		all     []time.Duration
		failed  error
	)
	own, server := benchingest.CPUTime(api.pid), benchingest.FamilyTime(api.server)
	begun := time.Now()
	end := begun.Add(lasts)
	for w := range workers {
		running.Go(func() {
			took, err := ask(ctx, api.addr, requests, w*len(requests)/workers, end)
			mu.Lock()
			defer mu.Unlock()
			all, failed = append(all, took...), errors.Join(failed, err)
		})
	}
	running.Wait()
	rate := float64(len(all)) / time.Since(begun).Seconds()
	if len(all) == 0 {
		return reading{}, failed
	}
	got := readingOf(rate, all)
	got.spent(benchingest.CPUTime(api.pid)-own, benchingest.FamilyTime(api.server)-server, len(all))
	return got, failed
}

// ask asks on one connection until the end, and once at least.
func ask(ctx context.Context, addr string, requests [][]byte, next int, end time.Time) (took []time.Duration, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	for begun := time.Now(); len(took) == 0 || begun.Before(end) && ctx.Err() == nil; {
		if _, err := conn.Write(requests[next%len(requests)]); err != nil {
			return nil, err
		}
		if _, err := answer(in); err != nil {
			return nil, fmt.Errorf("%s: %w", requestLine(requests[next%len(requests)]), err)
		}
		now := time.Now()
		took, begun = append(took, now.Sub(begun)), now
		next++
	}
	return took, ctx.Err()
}

// answer reads an answer to its end and says how long its body was.
func answer(in *bufio.Reader) (int64, error) {
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body) // what there is of it
		return 0, fmt.Errorf("%s: %s", response.Status, text)
	}
	return io.Copy(io.Discard, response.Body)
}

// requestLine is a request without its headers, which hold the token.
func requestLine(request []byte) string {
	line, _, _ := bytes.Cut(request, []byte("\r\n"))
	return string(line)
}
