package benchapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"audittrail/bench/internal/benchingest"
)

// Reading is what one measurement of one side gave.
type Reading struct {
	Requests int `json:"requests"`

	Rate float64 `json:"perSecond"`
	P50  float64 `json:"p50Milliseconds"`
	P99  float64 `json:"p99Milliseconds"`

	// What a request takes of the cores; 0 where that can't be read.
	OwnMicros     float64 `json:"ownCPUMicroseconds"` // of the API's processes, or of pgbench
	ServerMicros  float64 `json:"serverCPUMicroseconds"`
	ReplicaMicros float64 `json:"replicaCPUMicroseconds,omitempty"` // of all replicas
	CallerMicros  float64 `json:"callerCPUMicroseconds,omitempty"`  // of who asks the API
}

// CPU is what a request takes in all, but for who asks the API.
func (r Reading) CPU() float64 { return r.OwnMicros + r.ServerMicros + r.ReplicaMicros }

// Spent puts CPU seconds down to the requests.
func (r *Reading) Spent(s Spent, requests int) {
	each := 1e6 / float64(requests)
	r.OwnMicros, r.ServerMicros, r.ReplicaMicros, r.CallerMicros = s.Own*each, s.Server*each, s.Replicas*each, s.Caller*each
}

// Spent is CPU time, in seconds.
type Spent struct{ Own, Server, Replicas, Caller float64 }

// ReadingOf makes a Reading of how long each request took. It sorts them.
func ReadingOf(rate float64, took []time.Duration) Reading {
	slices.Sort(took)
	at := func(share float64) float64 {
		if len(took) == 0 {
			return 0
		}
		return float64(took[min(int(share*float64(len(took))), len(took)-1)].Microseconds()) / 1000
	}
	return Reading{Requests: len(took), Rate: rate, P50: at(0.50), P99: at(0.99)}
}

// Target is what is asked, with the servers whose CPU time that costs.
type Target struct {
	APIs     []*Process
	Server   int   // PostgreSQL's first process; 0 where nobody wants to know
	Replicas []int // those of its replicas
}

func (t Target) spent() (s Spent) {
	for _, p := range t.APIs {
		s.Own += benchingest.CPUTime(p.PID)
	}
	for _, pid := range t.Replicas {
		s.Replicas += benchingest.FamilyTime(pid)
	}
	s.Server, s.Caller = benchingest.FamilyTime(t.Server), benchingest.CPUTime(os.Getpid())
	return s
}

// Load asks the APIs, with so many requests under way all the time, each worker on a connection of its own and through
// the requests in turn, and with the tokens in turn. Any answer but 200 ends it. It speaks plain HTTP/1.1 without net/http's client, which would
// take as much of the cores as the API.
func Load(ctx context.Context, at Target, tokens, paths []string, workers int, lasts time.Duration) (Reading, error) {
	requests := make([][][]byte, len(tokens))
	for t, token := range tokens {
		for _, path := range paths {
			requests[t] = append(requests[t], []byte("GET "+path+" HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer "+token+"\r\n\r\n"))
		}
	}
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		all     []time.Duration
		failed  error
	)
	before := at.spent()
	begun := time.Now()
	end := begun.Add(lasts)
	for w := range workers {
		running.Go(func() {
			took, err := ask(ctx, at.APIs[w%len(at.APIs)].Addr, requests[w%len(tokens)], w*len(paths)/workers, end)
			mu.Lock()
			defer mu.Unlock()
			all, failed = append(all, took...), errors.Join(failed, err)
		})
	}
	running.Wait()
	rate := float64(len(all)) / time.Since(begun).Seconds()
	if len(all) == 0 {
		return Reading{}, failed
	}
	got := ReadingOf(rate, all)
	after := at.spent()
	got.Spent(Spent{after.Own - before.Own, after.Server - before.Server, after.Replicas - before.Replicas, after.Caller - before.Caller}, len(all))
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
		if _, err := Answer(in); err != nil {
			return nil, fmt.Errorf("%s: %w", requestLine(requests[next%len(requests)]), err)
		}
		now := time.Now()
		took, begun = append(took, now.Sub(begun)), now
		next++
	}
	return took, ctx.Err()
}

// Answer reads an Answer to its end and says how long its body was.
func Answer(in *bufio.Reader) (int64, error) {
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
