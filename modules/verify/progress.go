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
	Left    time.Duration // about; 0 where it can't be told yet
	Percent int           // of all work
}

// progress keeps count. Its zero value is ready.
type progress struct {
	tell  func(Progress)
	began time.Time
	rows  atomic.Int64

	mu          sync.Mutex
	text        string
	done, tasks int64
}

func (p *progress) expect(tasks int64) {
	p.mu.Lock()
	p.tasks, p.text = tasks, "recomputing the log"
	p.mu.Unlock()
	p.report()
}

func (p *progress) taskDone() {
	p.mu.Lock()
	p.done++
	p.mu.Unlock()
	p.report()
}

func (p *progress) phase(text string) {
	p.mu.Lock()
	p.text = text
	p.mu.Unlock()
	p.report()
}

// report tells the present state. Tasks are pieces of one size but for a few, so that their number tells
// about how much is left.
func (p *progress) report() {
	if p.tell == nil {
		return
	}
	p.mu.Lock()
	state := Progress{Phase: p.text, Events: p.rows.Load()}
	done, tasks := p.done, p.tasks
	p.mu.Unlock()
	elapsed := time.Since(p.began)
	state.Rate = float64(state.Events) / elapsed.Seconds()
	if tasks > 0 && done > 0 {
		state.Percent = int(100 * done / tasks)
		state.Left = time.Duration(float64(elapsed) / float64(done) * float64(tasks-done)).Round(time.Second)
	}
	p.tell(state)
}
