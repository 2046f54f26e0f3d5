package httpapi

import (
	"math"
	"net/http"
	"strconv"
	"strings"
)

// Preferred returns the media type that a request's Accept ranks highest; the first where it ranks none higher.
func Preferred(r *http.Request, kinds ...string) string {
	best := kinds[0]
	if r == nil {
		return best
	}
	accept, most := strings.Join(r.Header.Values("Accept"), ","), -1.0
	for _, kind := range kinds {
		name, _, _ := strings.Cut(kind, ";")
		main, sub, _ := strings.Cut(name, "/")
		if q := Quality(accept, main, sub); q > most {
			best, most = kind, q
		}
	}
	return best
}

// Quality is how much an Accept header wants a media type: 0 to 1, by the most specific range that fits (RFC 9110,
// section 12.5.1).
func Quality(accept, kind, subtype string) float64 {
	best, specific := 0.0, -1
	for part := range strings.SplitSeq(accept, ",") {
		name, params, _ := strings.Cut(part, ";")
		rank := -1
		switch strings.ToLower(strings.TrimSpace(name)) {
		case kind + "/" + subtype:
			rank = 2
		case kind + "/*":
			rank = 1
		case "*/*":
			rank = 0
		}
		if rank > specific {
			best, specific = Weight(params), rank
		}
	}
	return best
}

// Weight reads the q of a media range's parameters; 1 where there is none, 0 where it can't be read.
func Weight(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		q, err := strconv.ParseFloat(value, 64)
		if err != nil || math.IsNaN(q) || q < 0 || q > 1 {
			return 0
		}
		return q
	}
	return 1
}
