//go:build unix

package protect

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
)

// benchEvents are 1,000 orders with 8 fields that rules may name, of so many subjects.
func benchEvents(b *testing.B, subjects int) []event.Valid {
	b.Helper()
	all := make([]event.Valid, 1000)
	for n := range all {
		var fields []string
		for i := range 8 {
			fields = append(fields, fmt.Sprintf(`"f%d":"a value of field %d in event %d"`, i, i, n))
		}
		decoded, rejected := event.Decode(event.Raw{Value: []byte(fmt.Sprintf(`{"eventId":"00000000-0000-4000-8000-%012d","eventType":"A","aggregateId":"a%d",
			"aggregateType":"T","timestamp":"2026-01-01T00:00:00Z","version":1,"payload":{"id":"s%d",%s},"metadata":{}}`, n, n, n%subjects, strings.Join(fields, ",")))})
		require.Nil(b, rejected)
		valid, rejected := decoded.Validate(event.DefaultRules(), time.Now())
		require.Nil(b, rejected)
		all[n] = valid
	}
	return all
}

func benchProtector(b *testing.B, fields int) *Protector {
	b.Helper()
	var options []RuleOptions
	for i := range fields {
		options = append(options, RuleOptions{EventType: "*", Path: fmt.Sprintf("$.payload.f%d", i), Subject: "$.payload.id"})
	}
	rules, err := NewRules(options)
	require.NoError(b, err)
	k := NewKeyring(&oneWrapping{keys: map[SubjectHash]WrappedKey{}}, func(context.Context) (KEK, error) { return plainKEK{}, nil })
	now := time.Now()
	k.now = func() time.Time { return now } // it never stops hearing of destroyed keys
	k.hear(now)
	return WithRules(rules, k)
}

// BenchmarkSeal seals batches of 1,000 events, the keys being in memory.
func BenchmarkSeal(b *testing.B) {
	for _, fields := range []int{0, 2, 8} {
		b.Run(fmt.Sprintf("fields=%d", fields), func(b *testing.B) {
			events, p := benchEvents(b, 1000), benchProtector(b, fields)
			begun := cpu(b)
			for b.Loop() {
				_, err := p.Seal(b.Context(), events)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(cpu(b)-begun)/float64(b.N*len(events)), "cpu-ns/event")
		})
	}
}

// cpu is the time that this process has spent on processors: on a shared machine the clock says little.
func cpu(b *testing.B) int64 {
	b.Helper()
	var use syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &use))
	return use.Utime.Nano() + use.Stime.Nano()
}
