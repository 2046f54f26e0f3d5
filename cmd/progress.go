package cmd

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

// progress tells on stderr how far a long command has come.
type progress struct {
	out  io.Writer
	live bool
	text func() string
	done chan struct{}
	wait sync.WaitGroup
	last int // cells of the live line
}

// startProgress tells text's answer again and again until stop is called.
func startProgress(out io.Writer, text func() string) *progress {
	p := &progress{out: out, live: isTerminal(out), text: text, done: make(chan struct{})}
	p.wait.Go(p.run)
	return p
}

func (p *progress) run() {
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
func (p *progress) tell() {
	line := visible(p.text())
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
func (p *progress) clear() {
	if p.live && p.last > 0 {
		_, _ = fmt.Fprintf(p.out, "\r%s\r", strings.Repeat(" ", p.last))
	}
}

// stop ends the telling. It returns once nothing more will be written.
func (p *progress) stop() {
	close(p.done)
	p.wait.Wait()
}

// counted writes a count and what is counted, in the number that goes with it.
func counted(n int64, one, many string) string {
	if n == 1 {
		return grouped(n) + " " + one
	}
	return grouped(n) + " " + many
}

// grouped writes a count with its thousands apart: 166,193.
func grouped(n int64) string {
	if n < 0 {
		return "-" + grouped(-n)
	}
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
