// Package cache keeps bytes for a short time: in Redis, where several processes share them, or in this process. It
// also counts limits that processes share.
//
// Nothing may depend on it. Redis may be away, slow, full, emptied or filled by others at any time: whoever asks gets
// no answer then, within 50 ms, and does the work without. What must not be forged is the caller's to check.
package cache

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/rueidis"

	"audittrail/platform/config"
)

// RedisOptions are the keys below `redis`.
type RedisOptions struct {
	URL string `key:"url" secret:"url" help:"Redis 6 or later that the API's processes share: for limits and a cache; redis://user:password@host:port/db, or rediss:// for TLS; none: each process for itself"`
	CA  string `key:"ca" help:"file with the authority of Redis's certificate (PEM); the system's where it is empty"`
}

// Validate reports every key that can't work. It quotes no part of the URL.
func (o RedisOptions) Validate() error {
	var option rueidis.ClientOption
	if o.URL != "" {
		var err error
		if option, err = parseURL(o.URL); err != nil {
			return config.Invalid("url", "must be redis://user:password@host:port/db or rediss://…, with special characters percent-encoded")
		}
	}
	switch {
	case o.CA != "" && option.TLSConfig == nil: // a file that is not used is a mistake that would send everything in the clear
		return config.Invalid("ca", "is given, but redis.url does not begin with rediss://")
	case option.TLSConfig != nil && option.TLSConfig.InsecureSkipVerify:
		return config.Invalid("url", "must not have skip_verify: name the authority of Redis's certificate in redis.ca")
	}
	return nil
}

// Address returns the host and port of a valid URL, and whether bytes travel there by TLS.
func (o RedisOptions) Address() (address string, isTLS bool) {
	option, err := parseURL(o.URL)
	if err != nil || len(option.InitAddress) == 0 {
		return "", false
	}
	return option.InitAddress[0], option.TLSConfig != nil
}

func parseURL(url string) (rueidis.ClientOption, error) {
	if !strings.HasPrefix(url, "redis://") && !strings.HasPrefix(url, "rediss://") {
		return rueidis.ClientOption{}, errors.New("unknown scheme")
	}
	return rueidis.ParseURL(url)
}

const (
	// answerWithin is how long Redis may take for an answer.
	answerWithin = 50 * time.Millisecond

	// pauseAfter is how long Redis is not asked after it failed, so that few requests wait for it.
	pauseAfter = time.Second

	// nearBytes is how much of what was read from Redis is kept here, until Redis says that it changed.
	nearBytes = 32 << 20
)

var errAway = errors.New("redis is away")

// Redis is a connection that may be lost at any time. It is safe for concurrent use.
type Redis struct {
	option rueidis.ClientOption
	log    *slog.Logger
	away   prometheus.Gauge

	client  atomic.Pointer[rueidis.Client] // nil before the first connection
	resting atomic.Int64                   // until when Redis is not asked, in Unix nanoseconds
	told    atomic.Bool                    // that it is away
}

// NewRedis connects to nothing yet.
func NewRedis(o RedisOptions, log *slog.Logger, metrics prometheus.Registerer) (*Redis, error) {
	option, err := parseURL(o.URL)
	if err != nil {
		return nil, errors.New("redis.url can't be used") // whose text may hold the password
	}
	if option.TLSConfig != nil {
		if option.TLSConfig.RootCAs, err = o.authorities(); err != nil {
			return nil, err
		}
	}
	option.ClientName, option.CacheSizeEachConn, option.PipelineMultiplex = "audittrail", nearBytes, -1
	option.DisableRetry, option.ConnWriteTimeout, option.Dialer.Timeout = true, time.Second, time.Second
	r := &Redis{option: option, log: log, away: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "audittrail_redis_away",
		Help: "1 while Redis does not answer, and this process does without it.",
	})}
	if metrics != nil {
		if err := metrics.Register(r.away); err != nil {
			return nil, fmt.Errorf("redis: %w", err)
		}
	}
	return r, nil
}

// authorities returns whose certificates are taken; nil for those of the system's.
func (o RedisOptions) authorities() (*x509.CertPool, error) {
	if o.CA == "" {
		return nil, nil
	}
	text, err := os.ReadFile(o.CA)
	if err != nil {
		return nil, fmt.Errorf("redis.ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("redis.ca: %s holds no PEM certificate", o.CA)
	}
	return roots, nil
}

// Run connects, and asks Redis once a second whether it is there, until ctx is cancelled.
func (r *Redis) Run(ctx context.Context) {
	for timer := time.NewTimer(0); ; timer.Reset(pauseAfter) {
		select {
		case <-ctx.Done():
			if c := r.client.Load(); c != nil {
				(*c).Close()
			}
			return
		case <-timer.C:
		}
		r.check(ctx)
	}
}

func (r *Redis) check(ctx context.Context) {
	c := r.client.Load()
	if c == nil {
		made, err := rueidis.NewClient(r.option)
		if err != nil {
			r.failed(err)
			return
		}
		r.client.Store(&made)
		c = &made
	}
	bounded, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err := (*c).Do(bounded, (*c).B().Ping().Build()).Error(); err != nil {
		if ctx.Err() == nil {
			r.failed(err)
		}
		return
	}
	r.away.Set(0)
	if r.told.CompareAndSwap(true, false) {
		r.log.Info("redis answers again")
	}
	r.resting.Store(0)
}

// failed has Redis left alone for a while.
func (r *Redis) failed(err error) {
	r.resting.Store(time.Now().Add(2 * pauseAfter).UnixNano())
	r.away.Set(1)
	if r.told.CompareAndSwap(false, true) {
		r.log.Warn("redis does not answer, going on without it", "error", err)
	}
}

// use calls f, unless Redis is away. An error of f that is no answer of Redis's counts as that.
func (r *Redis) use(ctx context.Context, f func(context.Context, rueidis.Client) error) error {
	c := r.client.Load()
	if c == nil || time.Now().UnixNano() < r.resting.Load() {
		return errAway
	}
	bounded, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	err := f(bounded, *c)
	if _, answered := rueidis.IsRedisErr(err); err != nil && !answered && ctx.Err() == nil {
		r.failed(err)
	}
	return err
}
