package object

import (
	"errors"
	"fmt"
)

// Class is what a caller may do about an error. Adapters classify once;
// nothing above them reads message texts.
type Class uint8

const (
	// Retryable: the same call may succeed later (throttling, 5xx, timeouts,
	// a dropped connection). It is the zero value: what nobody could
	// classify is tried again. The call may or may not have taken effect.
	Retryable Class = iota
	// Premise: a condition of the call no longer holds (412, a failed
	// condition in the ledger, the source of a copy vanished). Look again
	// and decide again.
	Premise
	// Permanent: it fails again until somebody changes something.
	Permanent
)

// Error is a classified failure of one call on one object.
type Error struct {
	Class Class
	Op    string // "copy", "head", "delete", "record", ...
	Ref   Ref
	Code  string // the service's own code: AccessDenied, SlowDown, ...
	Err   error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %s: %v", e.Op, e.Ref, e.Code, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ClassOf is the class of err: Retryable unless an Error in its chain says
// otherwise.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Retryable
}

// CodeOf is the service's code for err, "Internal" where there is none.
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Code != "" {
		return e.Code
	}
	return "Internal"
}
