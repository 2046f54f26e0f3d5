package console

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// How often progress is told: on a terminal a line that changes, elsewhere a new line now and then.
const (
	liveInterval  = 200 * time.Millisecond
	plainInterval = 5 * time.Second
)

// Progress tells on stderr how far a long command has come.
type Progress struct {
	out  io.Writer
	live bool
	text func() string
	done chan struct{}
	wait sync.WaitGroup
	last int // cells of the live line
}

// StartProgress tells text's answer again and again until Stop is called.
func StartProgress(out io.Writer, text func() string) *Progress {
	p := &Progress{out: out, live: IsTerminal(out), text: text, done: make(chan struct{})}
	p.wait.Go(p.run)
	return p
}

func (p *Progress) run() {
	interval := plainInterval
	if p.live {
		interval = liveInterval
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-p.done:
			p.clear()
			return
		case <-tick.C:
			p.tell()
		}
	}
}

// tell writes the present line. A terminal that is gone is no reason to stop the work.
func (p *Progress) tell() {
	line := Visible(p.text())
	if !p.live {
		_, _ = fmt.Fprintln(p.out, line)
		return
	}
	line = clip(line, max(terminalWidth(p.out)-1, 20))
	pad := max(p.last-columns(line), 0)
	p.last = columns(line)
	_, _ = fmt.Fprintf(p.out, "\r%s%s", line, strings.Repeat(" ", pad))
}

// clear takes the live line away, for what is printed next.
func (p *Progress) clear() {
	if p.live && p.last > 0 {
		_, _ = fmt.Fprintf(p.out, "\r%s\r", strings.Repeat(" ", p.last))
	}
}

// Stop ends the telling. It returns once nothing more will be written.
func (p *Progress) Stop() {
	close(p.done)
	p.wait.Wait()
}
