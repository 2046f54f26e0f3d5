package httpserver

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// ETag is the strong entity tag of a representation.
func ETag(representation []byte) string {
	sum := sha256.Sum256(representation)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

// MatchesETag says whether an If-None-Match header names etag (RFC 9110, section 13.1.2: the weak
// comparison). What is no list of entity tags matches nothing.
func MatchesETag(ifNoneMatch, etag string) bool {
	if strings.TrimSpace(ifNoneMatch) == "*" {
		return true
	}
	for tag := range strings.SplitSeq(ifNoneMatch, ",") {
		if strings.TrimPrefix(strings.TrimSpace(tag), "W/") == etag {
			return true
		}
	}
	return false
}
