// Package errs is the one error type that crosses module borders: a public code and text that a
// caller may see, and an internal cause that only logs may see.
//
// It maps nothing to HTTP or exit codes: platform/httpserver and cmd each do that in one place.
package errs

import (
	"errors"
	"fmt"
)

// Kind is the class of an error: what the caller can do about it.
type Kind int

// The kinds. The zero value is Internal, so that a forgotten kind never blames the caller.
const (
	Internal        Kind = iota // our fault; the caller is told nothing of the inside
	Invalid                     // the request breaks a rule; Field names the part
	Unauthenticated             // no valid credential
	Forbidden                   // a valid credential without the permission
	NotFound                    // there is no such thing, as far as this caller can see
	Conflict                    // it contradicts the present state
	Unprocessable               // well-formed, and refused
	TooExpensive                // it would cost more than the server grants; narrow it
	TooMany                     // more requests than the caller may send; try again later
	Unavailable                 // a part that is needed is away; try again later
)

// Error is an error with a public face. Code is stable and scripts match on it.
type Error struct {
	Kind   Kind
	Code   string // e.g. "invalid_parameter"; listed in the OpenAPI document
	Field  string // the offending parameter, key or member; "" where it is the whole request
	Detail string // public, in our own words; never a library's text
	Cause  error  // internal; nil where there is none
}

func (e *Error) Error() string {
	s := e.Code
	if e.Field != "" {
		s += " (" + e.Field + ")"
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Cause }

// New makes an Error without a field and cause.
func New(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// InField returns a copy of e that names the offending part.
func (e *Error) InField(field string) *Error {
	c := *e
	c.Field = field
	return &c
}

// Because returns a copy of e that carries an internal cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.Cause = cause
	return &c
}

// Of finds the *Error in err's chain. What has none is Internal with the code "internal_error".
func Of(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: Internal, Code: "internal_error", Detail: "something went wrong on our side", Cause: err}
}
