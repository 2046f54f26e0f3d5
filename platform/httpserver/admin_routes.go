package httpserver

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"audittrail/platform/config"
	"audittrail/platform/lifecycle"
)

// probeTimeout is how long /readyz waits for the roles. Kubernetes gives a probe 1 s by default, and
// an answer that comes too late says less than one that names who did not answer.
const probeTimeout = 800 * time.Millisecond

// maxScrapes bounds the scrapes under way at once.
const maxScrapes = 4

func (a *Admin) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", a.livez)
	mux.HandleFunc("GET /startupz", a.startupz)
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.HandleFunc("GET /readyz/{role}", a.readyzRole)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.deps.Metrics, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(a.deps.Log.Handler(), slog.LevelWarn),
		MaxRequestsInFlight: maxScrapes,
		EnableOpenMetrics:   true, // for exemplars
	}))
	if a.deps.Level != nil {
		mux.HandleFunc("GET /loglevel", a.logLevel)
		mux.HandleFunc("PUT /loglevel", a.setLogLevel)
	}
	if a.opts.Pprof {
		// Index serves the named profiles, too. The command line is left out: it may hold secrets.
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Frame-Options", "DENY") // the pages of pprof
		w.Header().Set("Referrer-Policy", "no-referrer")
		mux.ServeHTTP(w, r)
	})
}

// livez says that the process works: that it answers is all there is to say. A process that only waits
// for others must not be restarted.
func (a *Admin) livez(w http.ResponseWriter, _ *http.Request) {
	answer(w, true, map[string]any{"live": true})
}

// startupz says that configuration and listeners are up. It never waits for the schema, or a migration
// that takes long would have Kubernetes restart everything.
func (a *Admin) startupz(w http.ResponseWriter, _ *http.Request) {
	ok := a.deps.Started()
	answer(w, ok, map[string]any{"started": ok})
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready    bool            `json:"ready"`
	Stopping bool            `json:"stopping"`
	Roles    []roleReadiness `json:"roles"`
}

type roleReadiness struct {
	Role   string   `json:"role"`
	Ready  bool     `json:"ready"`
	Reason string   `json:"reason,omitzero"` // why it isn't
	Notes  []string `json:"notes,omitempty"` // what it tells although it can do its work
}

// readyz says whether every role can do its work, and why not.
func (a *Admin) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
	defer cancel()
	out := readiness{Stopping: a.stopping.Load(), Roles: []roleReadiness{}}
	out.Ready = !out.Stopping && a.deps.Started()
	for _, s := range a.deps.Status(ctx) {
		out.Ready = out.Ready && s.Ready
		out.Roles = append(out.Roles, readinessOf(s))
	}
	answer(w, out.Ready, out)
}

// oneReadiness is the answer of /readyz/{role}.
type oneReadiness struct {
	roleReadiness
	Stopping bool `json:"stopping"`
}

// readyzRole says whether one role can do its work. No other role counts or delays the answer, so that
// the API is not taken out of service because Kafka is away.
func (a *Admin) readyzRole(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
	defer cancel()
	name := r.PathValue("role")
	if !slices.Contains(a.deps.Roles, name) {
		send(w, http.StatusNotFound, map[string]any{"reason": "no such role; the roles are " + strings.Join(a.deps.Roles, ", ")})
		return
	}
	status, runs := a.deps.StatusOf(ctx, name)
	if !runs {
		send(w, http.StatusNotFound, map[string]any{"role": name, "reason": "this process does not run the role; add it to roles, or ask a process that does"})
		return
	}
	out := oneReadiness{readinessOf(status), a.stopping.Load()}
	if out.Stopping {
		out.Ready, out.Reason = false, cmp.Or(out.Reason, "stopping")
	}
	answer(w, out.Ready, out)
}

func readinessOf(s lifecycle.Status) roleReadiness {
	one := roleReadiness{Role: s.Role, Ready: s.Ready}
	if s.Err != nil {
		one.Reason = oneLine(s.Err.Error())
	}
	for _, note := range s.Notes {
		one.Notes = append(one.Notes, oneLine(note))
	}
	return one
}

// oneLine returns the text on one line, with passwords masked.
func oneLine(text string) string {
	return config.MaskPasswords(strings.Join(strings.Fields(text), " "))
}

// answer sends 200 where all is well, else 503.
func answer(w http.ResponseWriter, ok bool, body any) {
	status := http.StatusOK
	if !ok {
		status = http.StatusServiceUnavailable
	}
	send(w, status, body)
}

func send(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body, json.Deterministic(true))
	if err != nil {
		http.Error(w, "the answer has no JSON form", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the prober has gone: nobody to tell
}
