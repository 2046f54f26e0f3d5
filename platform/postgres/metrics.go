package postgres

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"audittrail/platform/telemetry"
)

// poolMetrics measures one pool.
type poolMetrics struct {
	name    string
	acquire *prometheus.HistogramVec
	sizes   *poolSizes
}

// newPoolMetrics registers the two metrics, or finds them where another pool has.
func newPoolMetrics(registry prometheus.Registerer, name string) (poolMetrics, error) {
	m := poolMetrics{name: name}
	var err error
	if registry == nil {
		return m, nil
	}
	m.acquire, err = register(registry, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "audittrail_db_pool_acquire_seconds",
		Help:    "How long it took to get a connection from the pool, failures included.",
		Buckets: []float64{.0001, .001, .005, .025, .1, .5, 1, 5, 30},
	}, []string{"pool"}))
	if err != nil {
		return m, err
	}
	m.acquire.WithLabelValues(name) // there from the start
	m.sizes, err = register(registry, &poolSizes{pools: make(map[string][]*pgxpool.Pool), desc: prometheus.NewDesc(
		"audittrail_db_pool_connections", "Connections of the pool by what they do.", []string{"pool", "state"}, nil)})
	return m, err
}

// register registers c, or answers its equal that was registered before.
func register[C prometheus.Collector](registry prometheus.Registerer, c C) (C, error) {
	err := registry.Register(c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if earlier, ok := already.ExistingCollector.(C); ok {
			return earlier, nil
		}
	}
	return c, err
}

// watch adds the pool to what is collected.
func (m poolMetrics) watch(pool *pgxpool.Pool) {
	if m.sizes != nil {
		m.sizes.add(m.name, pool)
	}
}

// trace is the tracer that measures, beside those given, each of which may be nil. It is nil where there is none.
func (m poolMetrics) trace(others ...pgx.QueryTracer) pgx.QueryTracer {
	all := slices.DeleteFunc(others, func(t pgx.QueryTracer) bool { return t == nil })
	if m.acquire != nil {
		all = append(all, acquireTimer{m.acquire.WithLabelValues(m.name)})
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return multitracer.New(all...)
}

// poolSizes collects the sizes of all pools of a registry.
type poolSizes struct {
	desc  *prometheus.Desc
	mu    sync.Mutex
	pools map[string][]*pgxpool.Pool
}

func (s *poolSizes) add(name string, pool *pgxpool.Pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pools[name] = append(s.pools[name], pool)
}

// Describe implements prometheus.Collector.
func (s *poolSizes) Describe(out chan<- *prometheus.Desc) { out <- s.desc }

// Collect implements prometheus.Collector.
func (s *poolSizes) Collect(out chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, pools := range s.pools {
		sizes := map[string]int32{"acquired": 0, "idle": 0, "connecting": 0, "max": 0}
		for _, pool := range pools {
			stat := pool.Stat()
			sizes["acquired"] += stat.AcquiredConns()
			sizes["idle"] += stat.IdleConns()
			sizes["connecting"] += stat.ConstructingConns()
			sizes["max"] += stat.MaxConns()
		}
		for state, n := range sizes {
			out <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, float64(n), name, state)
		}
	}
}

// acquireTimer is a tracer of nothing but the wait for a connection.
type acquireTimer struct{ seconds prometheus.Observer }

type acquireStart struct{}

// TraceAcquireStart implements pgxpool.AcquireTracer.
func (acquireTimer) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	return context.WithValue(ctx, acquireStart{}, time.Now())
}

// TraceAcquireEnd implements pgxpool.AcquireTracer.
func (t acquireTimer) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireEndData) {
	if began, ok := ctx.Value(acquireStart{}).(time.Time); ok {
		telemetry.Observe(ctx, t.seconds, time.Since(began).Seconds())
	}
}

// TraceQueryStart implements pgx.QueryTracer.
func (acquireTimer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (acquireTimer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
