package gateway

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
)

// problem is why a request is not answered as it was meant.
type problem struct {
	status     int
	code       string // for programs to branch on
	message    string // for people
	errors     []string
	retryAfter time.Duration
}

func (p *problem) Error() string { return p.message }

// invalid is the problem of a request that is not as it should be.
func invalid(problems ...string) *problem {
	return &problem{
		status: http.StatusBadRequest, code: "ARGUMENT_INVALID", message: strings.Join(problems, "; "), errors: problems,
	}
}

var (
	byReason = map[string]int{
		"MESSAGE_TOO_LARGE": http.StatusInternalServerError, // the request was fine; else see problemOf
		"TOO_MANY_TASKS":    http.StatusTooManyRequests,
		"TOO_MANY_WATCHES":  http.StatusTooManyRequests,
		"QUOTA_EXCEEDED":    http.StatusTooManyRequests,
		"MEMORY_LIMIT":      http.StatusTooManyRequests,
		"STORAGE_FULL":      http.StatusInsufficientStorage,
	}
	byCode = map[codes.Code]int{
		codes.InvalidArgument:  http.StatusBadRequest,
		codes.NotFound:         http.StatusNotFound,
		codes.AlreadyExists:    http.StatusConflict,
		codes.Unauthenticated:  http.StatusUnauthorized,
		codes.PermissionDenied: http.StatusForbidden,
		codes.Aborted:          http.StatusConflict,
		codes.OutOfRange:       http.StatusRequestedRangeNotSatisfiable,
		codes.Internal:         http.StatusInternalServerError,
		codes.Unavailable:      http.StatusServiceUnavailable,
		codes.Canceled:         http.StatusServiceUnavailable,
		codes.DeadlineExceeded: http.StatusGatewayTimeout,
		// without a reason it is gRPC itself that refuses a message for its size
		codes.ResourceExhausted: http.StatusRequestEntityTooLarge,
	}
	// what the transport says of addresses and sockets is not for clients
	transportTexts = map[int]string{
		http.StatusServiceUnavailable:    "the runtime cannot be reached at the moment",
		http.StatusGatewayTimeout:        "the runtime did not answer in time",
		http.StatusRequestEntityTooLarge: "the request is larger than the runtime takes",
	}
	aboutRequests = []string{"ARGUMENT_INVALID", "PAGE_TOKEN_INVALID", "REQUEST_ID_REUSED", "SEQUENCE_OUT_OF_RANGE"}
	serviceNames  = regexp.MustCompile(
		`\b(task_id|request_id|page_size|page_token|next_page_token|after_sequence|display_name)\b`)
	// by the service's name of a part of a request, the one that it has here
	ownNames = map[string]string{
		"task_id": "taskID", "request_id": "requestID", "page_size": "pageSize", "page_token": "pageToken",
		"next_page_token": "nextPageToken", "after_sequence": "after", "display_name": "displayName",
	}
	codeNames = map[codes.Code]string{
		codes.Canceled:           "CANCELLED",
		codes.Unknown:            "UNKNOWN",
		codes.InvalidArgument:    "INVALID_ARGUMENT",
		codes.DeadlineExceeded:   "DEADLINE_EXCEEDED",
		codes.NotFound:           "NOT_FOUND",
		codes.AlreadyExists:      "ALREADY_EXISTS",
		codes.PermissionDenied:   "PERMISSION_DENIED",
		codes.ResourceExhausted:  "RESOURCE_EXHAUSTED",
		codes.FailedPrecondition: "FAILED_PRECONDITION",
		codes.Aborted:            "ABORTED",
		codes.OutOfRange:         "OUT_OF_RANGE",
		codes.Unimplemented:      "UNIMPLEMENTED",
		codes.Internal:           "INTERNAL",
		codes.Unavailable:        "UNAVAILABLE",
		codes.DataLoss:           "DATA_LOSS",
		codes.Unauthenticated:    "UNAUTHENTICATED",
	}
)

// problemOf is what a client gets to know of an error.
func problemOf(err error) *problem {
	var own *problem
	if errors.As(err, &own) {
		return own
	}
	var failure *flowgram.Error
	ok := errors.As(err, &failure)
	if !ok {
		slog.Error("a request failed", "error", err)
		return &problem{status: http.StatusInternalServerError, code: "INTERNAL", message: "internal error"}
	}
	status, known := byReason[failure.Reason]
	if !known {
		status, known = byCode[failure.Code]
	}
	if !known {
		status = http.StatusBadGateway
	}
	if failure.Reason == "MESSAGE_TOO_LARGE" && failure.Metadata["message"] == "request" {
		status = http.StatusRequestEntityTooLarge
	}
	received := &problem{
		status: status, code: failure.Reason, message: inOwnWords(failure.Message, failure.Reason),
		errors: violations(failure),
	}
	if failure.Reason == "" {
		received.code, received.message = codeNames[failure.Code], transportTexts[status]
		if received.message == "" {
			received.message = "the runtime gave no proper answer"
		}
		if !errors.Is(err, context.Canceled) { // by a client that has left
			slog.Warn("the runtime gave no proper answer", "error", failure)
		}
	}
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		received.retryAfter = max(failure.RetryAfter, time.Second)
	}
	return received
}

// violations are texts: those of a workflow stand for themselves, others need the name of the field.
func violations(failure *flowgram.Error) []string {
	var all []string
	for _, each := range failure.Violations {
		if each.Field == "" || errors.Is(failure, flowgram.ErrInvalidWorkflow) {
			all = append(all, each.Description)
		} else {
			all = append(all, inOwnWords(each.Field+" "+each.Description, failure.Reason))
		}
	}
	return all
}

// inOwnWords is what the service says of a request, with the names that its parts have here.
func inOwnWords(text, reason string) string {
	if !slices.Contains(aboutRequests, reason) {
		return text
	}
	return serviceNames.ReplaceAllStringFunc(text, func(name string) string { return ownNames[name] })
}

// body is the problem as clients see it.
func (p *problem) body() []byte {
	shape := struct {
		Code    string   `json:"code"`
		Message string   `json:"message"`
		Errors  []string `json:"errors"`
	}{p.code, p.message, append([]string{}, p.errors...)}
	encoded, err := encode(shape)
	if err != nil {
		panic(err) // strings can be encoded
	}
	return encoded
}

func writeProblem(w http.ResponseWriter, p *problem) {
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	if p.status == http.StatusUnauthorized {
		challenge := `Bearer realm="flowgram"`
		if p.code == "CREDENTIALS_INVALID" {
			challenge += `, error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	writeBody(w, p.status, p.body())
}
