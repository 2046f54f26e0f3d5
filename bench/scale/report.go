package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"text/tabwriter"

	"audittrail/bench/internal/benchapi"
	"audittrail/bench/internal/benchdb"
	"audittrail/bench/internal/benchingest"
)

// report is what --output json prints.
type report struct {
	Cores       int    `json:"cores"`
	PostgreSQL  string `json:"postgresql"`
	Go          string `json:"go"`
	Events      int64  `json:"events"`
	Access      string `json:"access"`
	Concurrency int    `json:"concurrency"`
	LoadBefore  string `json:"loadBefore"`
	LoadAfter   string `json:"loadAfter"`
	Rows        []*row `json:"rows"`
}

// row is one kind of requests, with so many replicas and processes of the API.
type row struct {
	Kind      string             `json:"kind"`
	Replicas  int                `json:"replicas"`
	Processes int                `json:"processes"`
	Rounds    []benchapi.Reading `json:"rounds"`
}

func newReport(postgres string, o options) *report {
	return &report{
		Cores: runtime.NumCPU(), PostgreSQL: postgres, Go: runtime.Version(), Events: o.events, Access: o.access,
		Concurrency: o.concurrency, LoadBefore: benchingest.LoadAverage(),
	}
}

func (r *report) add(kind string, replicas, processes int, got benchapi.Reading) {
	found := r.find(kind, replicas, processes)
	if found == nil {
		found = &row{Kind: kind, Replicas: replicas, Processes: processes}
		r.Rows = append(r.Rows, found)
	}
	found.Rounds = append(found.Rounds, got)
}

func (r *report) find(kind string, replicas, processes int) *row {
	for _, one := range r.Rows {
		if one.Kind == kind && one.Replicas == replicas && one.Processes == processes {
			return one
		}
	}
	return nil
}

// of is the median of a value over the rounds.
func (r *row) of(value func(benchapi.Reading) float64) float64 {
	list := make([]float64, len(r.Rounds))
	for i, one := range r.Rounds {
		list[i] = value(one)
	}
	return benchdb.Median(list)
}

func rateOf(r benchapi.Reading) float64    { return r.Rate }
func ownOf(r benchapi.Reading) float64     { return r.OwnMicros }
func primaryOf(r benchapi.Reading) float64 { return r.ServerMicros }
func replicaOf(r benchapi.Reading) float64 { return r.ReplicaMicros }

// busyOf is how many cores all of it kept busy, who asks included.
func busyOf(r benchapi.Reading) float64 { return r.Rate * (r.CPU() + r.CallerMicros) / 1e6 }

func (r *report) print(w io.Writer, format string) error {
	r.LoadAfter = benchingest.LoadAverage()
	if format == "json" {
		return benchingest.PrintJSON(w, r)
	}
	fmt.Fprintf(w, "%d cores, %s; PostgreSQL %s, durable; %d events; access log %s; %d requests at once; load average %s before, %s after\n\n",
		r.Cores, r.Go, r.PostgreSQL, r.Events, r.Access, r.Concurrency, r.LoadBefore, r.LoadAfter)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "replicas\tAPIs\trequests/s\tp50 ms\tp99 ms\tCPU µs: API\tprimary\treplicas\tall\tbusy cores\tAPI's limit\tprimary's\treplicas'\t \t")
	for _, one := range r.Rows {
		limit := func(micros float64, servers int) string {
			if micros == 0 {
				return ""
			}
			return fmt.Sprintf("%.0f", float64(servers)*1e6/micros)
		}
		own, primary, replica := one.of(ownOf), one.of(primaryOf), one.of(replicaOf)
		fmt.Fprintf(t, "%d\t%d\t%.0f\t%.1f\t%.1f\t%.0f\t%.0f\t%.0f\t%.0f\t%.2f\t%s\t%s\t%s\t  %s\t\n", one.Replicas, one.Processes, one.of(rateOf),
			one.of(func(r benchapi.Reading) float64 { return r.P50 }), one.of(func(r benchapi.Reading) float64 { return r.P99 }),
			own, primary, replica, one.of(benchapi.Reading.CPU), one.of(busyOf), limit(own, 1), limit(primary, 1), limit(replica, one.Replicas), one.Kind)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "limits: requests/s for each core that the APIs, the primary, or each replica would have for itself")
	for _, one := range r.Rows {
		if _, err := fmt.Fprintln(w, one.where(r.Cores)); err != nil {
			return err
		}
	}
	return nil
}

// where names what keeps a row from more requests/s: the machine's cores where all are busy, and else the waits between
// the parts. It also names the part that would be the next limit if each had a core for itself.
func (r *row) where(cores int) string {
	now := fmt.Sprintf("waiting (%.2f of %d cores are busy)", r.of(busyOf), cores)
	if r.of(busyOf) >= 0.9*float64(cores) {
		now = fmt.Sprintf("the %d cores", cores)
	}
	next, least := "", math.Inf(1)
	for _, part := range []struct {
		name   string
		cores  int
		micros float64
	}{{"the API", r.Processes, r.of(ownOf)}, {"the primary", 1, r.of(primaryOf)}, {"the replicas", r.Replicas, r.of(replicaOf)}} {
		if limit := float64(part.cores) * 1e6 / part.micros; part.micros > 0 && limit < least {
			next, least = part.name, limit
		}
	}
	return fmt.Sprintf("%s, %d replicas, %d APIs: the limit is %s; with a core for each part %s, at %.0f requests/s", r.Kind, r.Replicas, r.Processes, now, next, least)
}
