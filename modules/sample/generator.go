package sample

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// Generator makes the records of many orders, interleaved as they would be published. It never ends.
// It must not be used from two goroutines at once.
type Generator struct {
	opts      Options
	rng       *rand.Rand
	nextOrder time.Time
	orders    uint64 // how many were begun
	seq       uint64 // breaks ties of time in the queue
	queue     queue
	flaws     flaws
}

// New makes a Generator; two with the same Options give the same records.
func New(opts Options) *Generator {
	opts = opts.withDefaults()
	return &Generator{
		opts:      opts,
		rng:       newRand(opts.Seed, 0),
		nextOrder: opts.Start,
	}
}

// Next is the next record in order of At. Good records, bad ones and repeats come in the shares that
// the Options ask for.
func (g *Generator) Next() Record {
	for len(g.queue) == 0 || !g.nextOrder.After(g.queue[0].At) {
		g.begin()
	}
	r := heap.Pop(&g.queue).(queued).Record
	if r.Reason == "" && !r.Repeat {
		g.spoil(r)
	}
	return r
}

// begin queues the records of one more order and decides when the one after it is placed.
func (g *Generator) begin() {
	g.orders++
	for _, r := range Story(g.opts.Seed, g.orders, g.nextOrder, g.opts.Live) {
		g.push(r)
	}
	gap := time.Duration(g.rng.ExpFloat64() * float64(g.opts.Interval))
	g.nextOrder = g.nextOrder.Add(max(gap, time.Microsecond)).Truncate(time.Microsecond)
}

// spoil may follow a good record by its repeat, or by a bad record.
func (g *Generator) spoil(r Record) {
	if g.rng.Float64() < g.opts.RepeatShare {
		again := r
		again.Repeat = true
		again.At = r.At.Add(g.soon())
		g.push(again)
	}
	if g.rng.Float64() < g.opts.BadShare {
		bad := g.flaws.next(r, newRand(g.opts.Seed^0xbad, g.seq))
		bad.At = r.At.Add(g.soon())
		g.push(bad)
	}
}

// soon is the time until a repeat or a bad record follows: up to two seconds.
func (g *Generator) soon() time.Duration {
	return time.Duration(1+g.rng.IntN(2_000_000)) * time.Microsecond
}

func (g *Generator) push(r Record) {
	g.seq++
	heap.Push(&g.queue, queued{Record: r, seq: g.seq})
}

// queued is a record that waits for its turn; seq keeps records of the same instant in order.
type queued struct {
	Record
	seq uint64
}

// queue is a heap by time.
type queue []queued

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(queued)) }

func (q queue) Less(i, j int) bool {
	if q[i].At.Equal(q[j].At) {
		return q[i].seq < q[j].seq
	}
	return q[i].At.Before(q[j].At)
}

func (q *queue) Pop() any {
	old := *q
	last := len(old) - 1
	x := old[last]
	old[last] = queued{} // let go of its bytes
	*q = old[:last]
	return x
}

// newRand is a source of its own for each stream of one seed, so that what one story draws does not
// change the next. PCG is part of Go's compatibility promise: seeds keep their meaning.
func newRand(seed, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, stream))
}
