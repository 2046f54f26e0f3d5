package replay

import (
	"context"
	"errors"

	"audittrail/modules/event"
)

// sender writes to a target. It belongs to one goroutine.
type sender interface {
	// send delivers events, those of one aggregate in their order, and returns what became of each. An error is what
	// is in the way: the caller sends those that were not sent again, after a while; a *fatal is not worth another
	// try.
	send(ctx context.Context, events []event.Stored) ([]outcome, error)

	// finish puts down what was sent for good, once all is sent.
	finish(ctx context.Context) error

	// close gives up what the target holds. It MUST bound its own time.
	close()
}

// outcome is what became of an event. The zero value is: not sent.
type outcome struct {
	status   status
	attempts int
	reason   string // in our own words; of what failed
}

type status int

const (
	unsent status = iota
	sent
	failed
	waiting // for one of its aggregate that failed
)

// fatal is an error that no other try helps against. Its text is public; its cause is for the log.
type fatal struct {
	text  string
	cause error
}

// obstacle is an error that may pass. Its text is public; its cause is for the log.
type obstacle struct {
	text  string
	cause error
}

func (f *fatal) Error() string    { return withCause(f.text, f.cause) }
func (f *fatal) Unwrap() error    { return f.cause }
func (o *obstacle) Error() string { return withCause(o.text, o.cause) }
func (o *obstacle) Unwrap() error { return o.cause }

func withCause(text string, cause error) string {
	if cause == nil {
		return text
	}
	return text + ": " + cause.Error()
}

func isFatal(err error) bool {
	var f *fatal
	return errors.As(err, &f)
}

// shown is what the job's readers are told of an error.
func shown(err error) string {
	var (
		f *fatal
		o *obstacle
	)
	switch {
	case errors.As(err, &f):
		return f.text
	case errors.As(err, &o):
		return o.text
	default:
		return "something went wrong on our side; the log of the role replay says what"
	}
}

// record is the event as it is sent: what every type of target carries.
func record(dst []byte, e *event.Stored, omit ...string) []byte { return e.AppendRecord(dst, omit...) }

// aggregate names what keeps its order.
type aggregate struct{ kind, id string }

func aggregateOf(e *event.Stored) aggregate { return aggregate{e.AggregateType, e.AggregateID} }
