package verify

import (
	"sync"
	"sync/atomic"
	"time"
)

// Progress says how far a verification has come.
type Progress struct {
	Phase   string
	Events  int64         // rows read and hashed so far
	Rate    float64       // of them a second
	Left    time.Duration // about, of this phase; 0 where it can't be told yet
	Percent int           // of this phase
}

// progress keeps count. Its zero value is ready.
type progress struct {
	tell  func(Progress)
	began time.Time
	rows  atomic.Int64

	mu          sync.Mutex
	text        string
	phase       time.Time // when it began
	done, tasks int64
}

// begin begins a phase of so many tasks. They are pieces of one size but for a few, so that their number tells
// about how much is left.
func (p *progress) begin(phase string, tasks int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text, p.phase, p.done, p.tasks = phase, time.Now(), -1, tasks
	p.step()
}

func (p *progress) taskDone() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step()
}

// step counts a task, and tells the present state. The caller holds mu.
func (p *progress) step() {
	p.done++
	if p.tell == nil {
		return
	}
	state := Progress{Phase: p.text, Events: p.rows.Load(), Rate: float64(p.rows.Load()) / time.Since(p.began).Seconds()}
	if p.done > 0 {
		state.Percent = int(100 * p.done / p.tasks)
		state.Left = time.Duration(float64(time.Since(p.phase)) / float64(p.done) * float64(p.tasks-p.done)).Round(time.Second)
	}
	p.tell(state)
}
