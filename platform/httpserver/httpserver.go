// Package httpserver is how audittrail speaks HTTP, whatever it says: the listener with its TLS and
// timeouts, correlation ids, problem documents (RFC 9457), the log line and the metric of each request,
// and the one writer that every answer leaves through.
//
// It knows no path, no event and no permission. Nothing else in the program writes a status or turns an
// error into one.
package httpserver
