package httpserver

import "time"

// SetStreamPace makes readers of streams be given up sooner.
func (s *Server) SetStreamPace(d time.Duration) { s.pace = d }
