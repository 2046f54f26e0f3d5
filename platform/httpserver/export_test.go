package httpserver

import "time"

// ErrSlowReader ends a stream whose reader takes less than it must.
var ErrSlowReader = errSlowReader

// SetStreamPace makes readers of streams be given up sooner.
func (s *Server) SetStreamPace(d time.Duration) { s.pace = d }

// SetStreamRate makes readers of streams be held to another rate.
func (s *Server) SetStreamRate(bytes int64, within time.Duration) {
	s.least = streamRate{bytes: bytes, within: within}
}
