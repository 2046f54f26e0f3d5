package httpserver

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

const ifNoneMatch = "If-None-Match"

// joinConditions puts the entity tags of a request that come on several lines onto one, which means the same
// (RFC 9110, section 5.3): the generated code takes one.
func joinConditions(h http.Header) {
	if lines := h.Values(ifNoneMatch); len(lines) > 1 {
		h.Set(ifNoneMatch, strings.Join(lines, ", "))
	}
}

// ETag is the strong entity tag of a representation.
func ETag(representation []byte) string {
	sum := sha256.Sum256(representation)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

// MatchesETag says whether an If-None-Match header names etag (RFC 9110, section 13.1.2: the weak
// comparison). What is no list of entity tags matches nothing.
func MatchesETag(header, etag string) bool {
	if strings.TrimSpace(header) == "*" {
		return true
	}
	for tag := range strings.SplitSeq(header, ",") {
		if strings.TrimPrefix(strings.TrimSpace(tag), "W/") == etag {
			return true
		}
	}
	return false
}
