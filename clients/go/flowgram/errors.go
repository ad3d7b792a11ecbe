package flowgram

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	errorDomain              = "flowgram.runtime"
	reasonArgumentInvalid    = "ARGUMENT_INVALID"
	reasonSchemaInvalid      = "SCHEMA_INVALID"
	reasonInputsInvalid      = "INPUTS_INVALID"
	reasonWatchBehind        = "WATCH_BEHIND"
	reasonCredentialsInvalid = "CREDENTIALS_INVALID"
)

// What an [*Error] means, for [errors.Is]. A call that its context ended also is [context.Canceled] or
// [context.DeadlineExceeded].
var (
	// ErrInvalidArgument: the request is wrong; [Error.Violations] lists all that is.
	ErrInvalidArgument = errors.New("flowgram: invalid argument")
	// ErrInvalidWorkflow: the schema or the inputs are wrong. It is an ErrInvalidArgument too.
	ErrInvalidWorkflow = errors.New("flowgram: invalid workflow")
	// ErrTaskNotFound: no such task, or its retention has passed.
	ErrTaskNotFound = errors.New("flowgram: task not found")
	// ErrUnauthenticated: the server asks for credentials, and got none, or none that are valid; see [WithToken].
	ErrUnauthenticated = errors.New("flowgram: unauthenticated")
	// ErrPermissionDenied: the credentials are valid, and do not allow the call.
	ErrPermissionDenied = errors.New("flowgram: permission denied")
	// ErrAlreadyExists: the request id was used before, with a different request.
	ErrAlreadyExists = errors.New("flowgram: request id used before")
	// ErrSequenceOutOfRange: a watch was to begin beyond the last event of the task.
	ErrSequenceOutOfRange = errors.New("flowgram: sequence out of range")
	// ErrResourceExhausted: a limit is reached; [Error.RetryAfter] says when to try again, if that helps.
	ErrResourceExhausted = errors.New("flowgram: resource exhausted")
	// ErrUnavailable: the server cannot be reached, is going away, or has fallen silent, and was not back in time.
	ErrUnavailable = errors.New("flowgram: unavailable")
)

// What an [*OutcomeError] means, for [errors.Is].
var (
	ErrTaskFailed     = errors.New("flowgram: task failed")
	ErrTaskCanceled   = errors.New("flowgram: task canceled")
	ErrTaskUnfinished = errors.New("flowgram: task unfinished")
)

var kinds = map[codes.Code]error{
	codes.InvalidArgument:   ErrInvalidArgument,
	codes.NotFound:          ErrTaskNotFound,
	codes.Unauthenticated:   ErrUnauthenticated,
	codes.PermissionDenied:  ErrPermissionDenied,
	codes.AlreadyExists:     ErrAlreadyExists,
	codes.OutOfRange:        ErrSequenceOutOfRange,
	codes.ResourceExhausted: ErrResourceExhausted,
	codes.Unavailable:       ErrUnavailable,
	codes.DeadlineExceeded:  context.DeadlineExceeded,
}

// Violation is one thing that is wrong with a request.
type Violation struct {
	// Field is the path of the field, as in `schema.nodes[2].id`.
	Field string
	// Description is what is wrong there.
	Description string
}

func (v Violation) String() string {
	if v.Field == "" {
		return v.Description
	}
	return v.Field + ": " + v.Description
}

// Error is a call that ended with a status other than OK: nothing of what it asked for is known to have happened.
type Error struct {
	// Code is the gRPC status.
	Code codes.Code
	// Reason is stable, such as "TASK_NOT_FOUND"; the contract lists them. Empty where the transport failed.
	Reason string
	// Message is the server's own words, or the transport's.
	Message string
	// Metadata holds particulars of the reason.
	Metadata map[string]string
	// Violations is what is wrong with the request, in the server's order.
	Violations []Violation
	// RetryAfter is when the server suggests another attempt; 0 if it does not.
	RetryAfter time.Duration

	cause error
}

// Error gives the message, and a line for each violation.
func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString("flowgram: ")
	if e.Message == "" {
		text.WriteString(e.Code.String())
	}
	text.WriteString(e.Message)
	for _, violation := range e.Violations {
		text.WriteString("\n  " + violation.String())
	}
	return text.String()
}

// Is reports whether target is the Err… value that goes with the status.
func (e *Error) Is(target error) bool {
	if target == ErrInvalidWorkflow {
		return e.Reason == reasonSchemaInvalid || e.Reason == reasonInputsInvalid
	}
	kind, known := kinds[e.Code]
	return known && target == kind
}

// Unwrap is the error of the context that ended the call, or nil.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus makes [status.Code] and [status.FromError] work.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Message) }

// OutcomeError is a task without outputs; [errors.Is] tells why.
type OutcomeError struct {
	TaskID string
	// Errors is what the task said of its failure, in order.
	Errors []*Message

	kind error
}

func (e *OutcomeError) Error() string {
	if len(e.Errors) == 0 {
		return fmt.Sprintf("%v (%s)", e.kind, e.TaskID)
	}
	return fmt.Sprintf("%v (%s): %s", e.kind, e.TaskID, texts(e.Errors))
}

// Unwrap is [ErrTaskFailed], [ErrTaskCanceled] or [ErrTaskUnfinished].
func (e *OutcomeError) Unwrap() error { return e.kind }

// errorFrom is the Error for what a call ended with; ctx is what the caller bounded the call with.
func errorFrom(ctx context.Context, err error) *Error {
	received := status.Convert(err)
	failure := &Error{Code: received.Code(), Message: received.Message()}
	if failure.Code == codes.Canceled || failure.Code == codes.DeadlineExceeded {
		failure.cause = ctx.Err()
	}
	for _, detail := range received.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == errorDomain {
				failure.Reason, failure.Metadata = detail.GetReason(), detail.GetMetadata()
			}
		case *errdetails.BadRequest:
			for _, each := range detail.GetFieldViolations() {
				failure.Violations = append(failure.Violations, Violation{each.GetField(), each.GetDescription()})
			}
		case *errdetails.RetryInfo:
			failure.RetryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	return failure
}

// contextError is the Error for a context that has ended between two attempts.
func contextError(ctx context.Context) *Error {
	return errorFrom(ctx, status.FromContextError(ctx.Err()).Err())
}

// checkText refuses a request with text that is not UTF-8. gRPC would call that an internal error.
func checkText(request proto.Message) error {
	var violations []Violation
	check := func(field protoreflect.FieldDescriptor, text string) {
		if !utf8.ValidString(text) {
			violations = append(violations, Violation{string(field.Name()), "must be UTF-8"})
		}
	}
	request.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
			value.Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
				check(field, key.String()+value.String())
				return true
			})
		case field.Kind() == protoreflect.StringKind && !field.IsList():
			check(field, value.String())
		}
		return true
	})
	if violations == nil {
		return nil
	}
	return &Error{
		Code:       codes.InvalidArgument,
		Reason:     reasonArgumentInvalid,
		Message:    "text in the request is not UTF-8",
		Violations: violations,
	}
}
