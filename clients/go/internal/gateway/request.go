package gateway

import (
	"bytes"
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
	"unicode/utf8"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
)

const (
	maxNameLength = 256 // characters of a requestID and of a displayName
	maxPageSize   = 1000
)

type (
	validateBody struct {
		Schema *string
		Inputs json.RawMessage
	}
	runBody struct {
		validateBody
		Labels      map[string]string
		RequestID   string
		DisplayName string
	}
	cancelBody struct {
		TaskID *string
	}
)

func (b *validateBody) fields() map[string]any {
	return map[string]any{"schema": &b.Schema, "inputs": &b.Inputs}
}

func (b *runBody) fields() map[string]any {
	return map[string]any{
		"schema": &b.Schema, "inputs": &b.Inputs,
		"labels": &b.Labels, "requestID": &b.RequestID, "displayName": &b.DisplayName,
	}
}

func (b *cancelBody) fields() map[string]any { return map[string]any{"taskID": &b.TaskID} }

func (b *validateBody) problems() []string {
	var all []string
	if b.Schema == nil {
		all = append(all, "schema: is required")
	} else if *b.Schema == "" {
		all = append(all, "schema: must not be empty")
	}
	if b.Inputs == nil {
		all = append(all, "inputs: is required")
	} else if b.Inputs[0] != '{' {
		all = append(all, "inputs: must be an object")
	}
	return all
}

func (b *runBody) problems() []string {
	return append(b.validateBody.problems(),
		nameProblems(map[string]string{"requestID": b.RequestID, "displayName": b.DisplayName})...)
}

func nameProblems(names map[string]string) []string {
	var all []string
	for name, text := range names {
		if utf8.RuneCountInString(text) > maxNameLength {
			all = append(all, fmt.Sprintf("%s: must have at most %d characters", name, maxNameLength))
		}
	}
	return all
}

func (b *cancelBody) problems() []string {
	if b.TaskID == nil || *b.TaskID == "" {
		return []string{"taskID: is required"}
	}
	return nil
}

// body is what a request carries.
type body interface {
	// fields are pointers to what its members are read into, by their names.
	fields() map[string]any
	// problems is all that is wrong with it.
	problems() []string
}

// closedBody is a body that has no members but its fields.
type closedBody interface{ closed() }

var byteOrderMark = []byte("\xef\xbb\xbf")

// readBody reads the JSON object in the body of a request into v.
//
// That it must say that it is JSON is also a protection: a page of another origin cannot send that without asking first.
func (g *Gateway) readBody(w http.ResponseWriter, r *http.Request, v body) error {
	return g.readBounded(w, r, v, g.settings.MaxBodyBytes)
}

func (g *Gateway) readBounded(w http.ResponseWriter, r *http.Request, v body, limit int64) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	suffixed := strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json")
	if err != nil || kind != "application/json" && !suffixed {
		return &problem{
			status:  http.StatusUnsupportedMediaType,
			code:    "CONTENT_TYPE_UNSUPPORTED",
			message: "the Content-Type of the body must be application/json",
		}
	}
	share := g.bodies.open()
	defer share.close()
	encoded, err := g.readAll(w, r, share, limit)
	if err != nil {
		return err
	}
	return parseBody(encoded, v)
}

// parseBody reads a JSON object into v.
func parseBody(encoded []byte, v body) error {
	encoded = bytes.TrimPrefix(encoded, byteOrderMark) // editors on Windows write one, and it is no part of the JSON
	if !utf8.Valid(encoded) {
		return invalid("the body is no JSON: it is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	var members map[string]json.RawMessage
	if err := decoder.Decode(&members); err != nil {
		return bodyProblem(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return invalid("the body is no JSON: it is more than one value")
	}
	if members == nil {
		return invalid("the body must be a JSON object")
	}
	if problems := allProblems(members, v); len(problems) > 0 {
		slices.Sort(problems)
		return invalid(problems...)
	}
	return nil
}

// allProblems reads the members of an object into the fields of v, and gives all that is wrong with them.
func allProblems(members map[string]json.RawMessage, v body) []string {
	var all []string
	mistyped := map[string]bool{}
	fields := v.fields()
	if _, closed := v.(closedBody); closed {
		for name := range members {
			if _, known := fields[name]; !known {
				all = append(all, name+": is no field of this request")
			}
		}
	}
	for name, target := range fields {
		if member, ok := members[name]; ok {
			found := readMember(name, member, target)
			mistyped[name] = len(found) > 0
			all = append(all, found...)
		}
	}
	for _, text := range v.problems() {
		if name, _, _ := strings.Cut(text, ":"); !mistyped[name] {
			all = append(all, text)
		}
	}
	return all
}

// readMember reads the JSON of one member into a field, and gives what is wrong with it.
func readMember(name string, member json.RawMessage, target any) []string {
	switch field := target.(type) {
	case *json.RawMessage:
		*field = member // `problems` looks at it
		return nil
	case *map[string]string:
		var texts map[string]json.RawMessage
		if json.Unmarshal(member, &texts) != nil || texts == nil {
			return []string{name + ": must not be " + kindOf(member)}
		}
		*field = make(map[string]string, len(texts))
		var all []string
		for key, text := range texts {
			var value *string
			if json.Unmarshal(text, &value) != nil || value == nil {
				all = append(all, name+"."+key+": must not be "+kindOf(text))
				continue
			}
			(*field)[key] = *value
		}
		return all
	case *int32, *int64:
		if json.Unmarshal(member, field) != nil || kindOf(member) != "number" {
			return []string{name + ": must be a whole number"}
		}
		return nil
	default:
		if json.Unmarshal(member, field) != nil || kindOf(member) == "null" {
			return []string{name + ": must not be " + kindOf(member)}
		}
		return nil
	}
}

// kindOf is what a JSON value is, in the words that all gateways use.
func kindOf(value json.RawMessage) string {
	switch value[0] {
	case '{':
		return "object"
	case '[':
		return "an array"
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	default:
		return "number"
	}
}

func bodyProblem(err error) error {
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mismatch):
		return invalid("the body must be a JSON object")
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return invalid("the body is no JSON: it ends too early")
	default:
		return invalid("the body is no JSON: " + strings.TrimPrefix(err.Error(), "json: "))
	}
}

// parameters reads the query of a request, and collects what is wrong with it.
type parameters struct {
	values   url.Values
	problems []string
}

func parametersOf(r *http.Request) *parameters {
	values, err := url.ParseQuery(r.URL.RawQuery)
	p := &parameters{values: values}
	if err != nil {
		p.problems = append(p.problems, "the query is malformed")
	}
	return p
}

func (p *parameters) taskID() string {
	id := p.values.Get("taskID")
	if id == "" {
		p.problems = append(p.problems, "taskID: is required")
	}
	return id
}

func (p *parameters) flag(name string) bool {
	switch p.values.Get(name) {
	case "true", "1":
		return true
	case "", "false", "0":
		return false
	default:
		p.problems = append(p.problems, name+": must be true or false")
		return false
	}
}

func (p *parameters) statuses() []flowgram.Status {
	var all []flowgram.Status
	for _, word := range p.values["status"] {
		found := false
		for status, known := range statusWords {
			if word == known {
				all, found = append(all, status), true
			}
		}
		if !found {
			p.problems = append(p.problems, "status: must be pending, processing, succeeded, failed or canceled")
		}
	}
	return all
}

func (p *parameters) labels() map[string]string {
	all := map[string]string{}
	for _, label := range p.values["label"] {
		key, value, ok := strings.Cut(label, "=")
		if !ok || key == "" {
			p.problems = append(p.problems, "label: must be KEY=VALUE")
		}
		all[key] = value
	}
	return all
}

func (p *parameters) pageSize() int32 {
	text := p.values.Get("pageSize")
	if text == "" {
		return 0
	}
	size, err := strconv.ParseInt(text, 10, 32)
	if err != nil || !isDigit(text[0]) || size < 1 || size > maxPageSize {
		p.problems = append(p.problems, fmt.Sprintf("pageSize: must be a number from 1 to %d", maxPageSize))
	}
	return int32(size)
}

// sequence is where a stream goes on: after the header's event, or that of the parameter.
func (p *parameters) sequence(header []string) int64 {
	name, texts := "Last-Event-ID", header
	if len(texts) == 0 {
		name, texts = "after", p.values["after"]
	}
	if len(texts) == 0 {
		return 0
	}
	return p.parsedSequence(name, texts[len(texts)-1])
}

// until is the sequence of the last event that is wanted, and whether there is such a bound.
func (p *parameters) until() (int64, bool) {
	texts := p.values["until"]
	if len(texts) == 0 {
		return 0, false
	}
	return p.parsedSequence("until", texts[len(texts)-1]), true
}

func (p *parameters) parsedSequence(name, text string) int64 {
	sequence, err := strconv.ParseInt(text, 10, 64)
	if err != nil || sequence < 0 || !isDigit(text[0]) {
		p.problems = append(p.problems, name+": must be the sequence of an event")
	}
	return sequence
}

func (p *parameters) view() flowgram.View {
	switch p.values.Get("view") {
	case "basic":
		return flowgram.ViewBasic
	case "", "full":
		return flowgram.ViewFull
	default:
		p.problems = append(p.problems, "view: must be basic or full")
		return flowgram.ViewFull
	}
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

func (p *parameters) err() error {
	if len(p.problems) == 0 {
		return nil
	}
	slices.Sort(p.problems)
	return invalid(slices.Compact(p.problems)...)
}
