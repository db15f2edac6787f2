package smtp

import (
	"context"
	"errors"
	"io"
)

// The waist: everything that passes mail on is a Sender.

// A Sender passes a message on to the recipients of its envelope.
//
// Send returns as many Results as env has recipients, in their order, always.
// The error is nil if all were accepted, else a *SendError with the same
// Results. A recipient was accepted, refused for now (ErrTemporary) or for good
// (ErrPermanent), or is unknown (ErrUnknown: the message was sent, its reply
// lost). Failures of the connection before the end of the data are temporary. A
// message that was accepted is never reported as failed, whatever happens to
// the connection afterwards. If msg fails half-way nothing is delivered.
//
// Cancelling ctx makes Send return at once. Send does not keep env; msg may be
// written to until the write under way ends, even when Send has been cancelled.
type Sender interface {
	Send(ctx context.Context, env *Envelope, msg io.WriterTo) ([]Result, error)
}

// A SendCloser is a Sender that holds something open.
type SendCloser interface {
	Sender
	io.Closer
}

// Remaining returns the envelope of those recipients who can be tried again
// without the risk of a double: the ones that were refused for now. Unknown
// ones are left out. It is nil if there are none. Results are those of a Send
// of env.
func Remaining(env *Envelope, results []Result) *Envelope {
	index := deferred(results)
	if index == nil {
		return nil
	}
	return env.only(index)
}

// deferred returns the indexes of those who can be tried again.
func deferred(results []Result) (index []int) {
	for i, r := range results {
		if errors.Is(r.Err, ErrTemporary) && !errors.Is(r.Err, ErrUnknown) {
			index = append(index, i)
		}
	}
	return index
}

// failAll returns the outcome of a Send that failed for everyone alike.
func failAll(env *Envelope, host string, err error) ([]Result, error) {
	results := make([]Result, len(env.To))
	for i := range results {
		results[i] = Result{Rcpt: env.To[i].Address, Host: host, Err: err}
	}
	return results, &SendError{results}
}

// fates sends by s and returns a result for each recipient. A Sender that somebody has
// made of three lines may return an error alone, or one beside results that are none:
// then nobody is known to have the message, and to take it for sent would lose it.
func fates(ctx context.Context, s Sender, env *Envelope, msg io.WriterTo) []Result {
	results, err := s.Send(ctx, env, msg)
	if _, told := outcome(results); len(results) != len(env.To) || err != nil && told == nil {
		results, _ = failAll(env, "", err)
	}
	return results
}

// outcome returns results as Send does: with an error unless all is well.
func outcome(results []Result) ([]Result, error) {
	for i := range results {
		if results[i].Err != nil {
			return results, &SendError{results}
		}
	}
	return results, nil
}
