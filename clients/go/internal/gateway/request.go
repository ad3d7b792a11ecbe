package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"

	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
)

type (
	validateBody struct {
		Schema document `json:"schema"`
		Inputs document `json:"inputs"`
	}
	runBody struct {
		validateBody
		RequestID string            `json:"request_id"`
		Timeout   duration          `json:"timeout"`
		Labels    map[string]string `json:"labels"`
		Wait      bool              `json:"wait"`
	}
	cancelBody struct {
		Reason string `json:"reason"`
	}
)

// document is a JSON object, as it came, or the text in a string.
type document json.RawMessage

func (d *document) UnmarshalJSON(encoded []byte) error {
	switch encoded[0] {
	case '{':
		*d = slices.Clone(encoded)
	case '"':
		var text string
		if err := json.Unmarshal(encoded, &text); err != nil {
			return err
		}
		*d = document(text)
	case 'n': // null is nothing
	default:
		return invalid("schema and inputs must be JSON objects, or strings that hold one")
	}
	return nil
}

// duration is what Protocol Buffers' JSON mapping makes of one: "1.5s".
type duration time.Duration

func (d *duration) UnmarshalJSON(encoded []byte) error {
	var value durationpb.Duration
	if string(encoded) == "null" {
		return nil
	}
	if err := protojson.Unmarshal(encoded, &value); err != nil {
		return invalid(`timeout must be a duration such as "1.5s"`)
	}
	*d = duration(value.AsDuration())
	return nil
}

// readBody reads the JSON object in the body of a request into v. The body may only be missing where v needs nothing.
func readBody(r *http.Request, v any, optional bool) error {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &problem{
			status:  http.StatusRequestEntityTooLarge,
			code:    "BODY_TOO_LARGE",
			message: fmt.Sprintf("the body of the request has more than %d bytes", tooLarge.Limit),
		}
	}
	if err != nil {
		return invalid("the body did not come to its end")
	}
	if len(body) == 0 && optional {
		return nil
	}
	// besides its meaning, this keeps the pages of other origins from running anything without having been allowed to
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &problem{
			status:  http.StatusUnsupportedMediaType,
			code:    "CONTENT_TYPE_UNSUPPORTED",
			message: "the Content-Type of the body must be application/json",
		}
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return bodyProblem(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return invalid("the body is more than one JSON value")
	}
	return nil
}

func bodyProblem(err error) error {
	var own *problem
	if errors.As(err, &own) {
		return own
	}
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		if mismatch.Field == "" {
			return invalid("the body must be a JSON object, not " + mismatch.Value)
		}
		return invalid(fmt.Sprintf("%s must not be %s", mismatch.Field, mismatch.Value))
	}
	if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		return invalid(strings.Trim(name, `"`) + " is not known")
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return invalid("the body is no JSON: it ends too early")
	}
	return invalid("the body cannot be read: " + strings.TrimPrefix(err.Error(), "json: "))
}

// parameters reads the query of a request, and collects what is wrong with it.
type parameters struct {
	values   url.Values
	problems []string
}

// parametersOf refuses names that are not among those that are known.
func parametersOf(r *http.Request, known ...string) *parameters {
	values, err := url.ParseQuery(r.URL.RawQuery)
	p := &parameters{values: values}
	if err != nil {
		p.problems = append(p.problems, "the query is malformed")
	}
	for name := range values {
		if !slices.Contains(known, name) {
			p.problems = append(p.problems, name+" is not known")
		}
	}
	return p
}

func (p *parameters) flag(name string) bool {
	switch value := p.values.Get(name); value {
	case "true":
		return true
	case "", "false":
		return false
	default:
		p.problems = append(p.problems, name+" must be true or false")
		return false
	}
}

func (p *parameters) view() flowgram.View {
	switch p.values.Get("view") {
	case "", "full":
		return flowgram.ViewFull
	case "basic":
		return flowgram.ViewBasic
	default:
		p.problems = append(p.problems, "view must be full or basic")
		return flowgram.ViewFull
	}
}

func (p *parameters) statuses() []flowgram.Status {
	var all []flowgram.Status
	for _, name := range p.values["status"] {
		number, known := runtimev1.Status_value["STATUS_"+name]
		if !known || number == 0 {
			p.problems = append(p.problems, "status must be PENDING, PROCESSING, SUCCEEDED, FAILED or CANCELED")
		}
		all = append(all, flowgram.Status(number))
	}
	return all
}

func (p *parameters) labels() map[string]string {
	all := map[string]string{}
	for _, label := range p.values["label"] {
		key, value, ok := strings.Cut(label, "=")
		if !ok || key == "" {
			p.problems = append(p.problems, "label must be key=value")
		}
		all[key] = value
	}
	return all
}

func (p *parameters) pageSize() int32 {
	text := p.values.Get("page_size")
	if text == "" {
		return 0
	}
	size, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		p.problems = append(p.problems, "page_size must be a number")
	}
	return int32(size)
}

// sequence is where a stream goes on: after the header's event, or that of the parameter.
func (p *parameters) sequence(header string) int64 {
	name, text := "Last-Event-ID", header
	if text == "" {
		name, text = "after", p.values.Get("after")
	}
	if text == "" {
		return 0
	}
	sequence, err := strconv.ParseInt(text, 10, 64)
	if err != nil || sequence < 0 || !isDigit(text[0]) {
		p.problems = append(p.problems, name+" must be the sequence of an event")
	}
	return sequence
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

func (p *parameters) err() error {
	if len(p.problems) == 0 {
		return nil
	}
	slices.Sort(p.problems)
	return invalid(slices.Compact(p.problems)...)
}
