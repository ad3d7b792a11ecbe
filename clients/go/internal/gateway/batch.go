package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
)

// What a batch is sent as. Pages of other origins cannot say any of these without asking first.
var linesOfJSON = []string{"application/x-ndjson", "application/jsonl", "application/x-jsonlines", "application/json"}

type (
	batchBody struct {
		Schema      *string
		Labels      map[string]string
		DisplayName string
		Timeout     int64 // milliseconds
		MaxInFlight int32
	}
	batchRunBody struct {
		Key         string
		Inputs      json.RawMessage
		RequestID   string
		Labels      map[string]string
		DisplayName string
	}
)

func (b *batchBody) fields() map[string]any {
	return map[string]any{
		"schema": &b.Schema, "labels": &b.Labels, "displayName": &b.DisplayName,
		"timeout": &b.Timeout, "maxInFlight": &b.MaxInFlight,
	}
}

func (b *batchRunBody) fields() map[string]any {
	return map[string]any{
		"key": &b.Key, "inputs": &b.Inputs, "requestID": &b.RequestID, "labels": &b.Labels, "displayName": &b.DisplayName,
	}
}

// A timeout has room in a duration of this language.
const longestTimeout = int64(1<<63-1) / int64(time.Millisecond)

func (b *batchBody) problems() []string {
	inputs := validateBody{b.Schema, json.RawMessage("{}")}
	all := append(inputs.problems(), nameProblems(map[string]string{"displayName": b.DisplayName})...)
	if b.Timeout < 0 || b.Timeout > longestTimeout {
		all = append(all, fmt.Sprintf("timeout: must be from 0 to %d", longestTimeout))
	}
	if b.MaxInFlight < 0 {
		all = append(all, "maxInFlight: must not be negative")
	}
	return all
}

func (b *batchRunBody) problems() []string {
	text := "-"
	inputs := validateBody{&text, b.Inputs}
	return append(inputs.problems(), nameProblems(map[string]string{
		"key": b.Key, "requestID": b.RequestID, "displayName": b.DisplayName,
	})...)
}

type batchOutcomeShape struct {
	Key            string          `json:"key"`
	TaskID         string          `json:"taskID"`
	WorkflowStatus statusShape     `json:"workflowStatus"`
	Outputs        json.RawMessage `json:"outputs,omitempty"`
	Messages       []messageShape  `json:"messages,omitempty"`
}

// batch runs a workflow for each line of the body but the first, which has what the runs have in common. Outcomes are
// lines, as they come. The body is read no further than outcomes are taken.
func (g *Gateway) batch(w http.ResponseWriter, r *http.Request) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(linesOfJSON, kind) {
		return &problem{
			status:  http.StatusUnsupportedMediaType,
			code:    "CONTENT_TYPE_UNSUPPORTED",
			message: "the Content-Type of the body must be application/x-ndjson",
		}
	}
	control := http.NewResponseController(w)
	if err := control.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	reader := &batchReader{lines: bufio.NewReaderSize(r.Body, chunkBytes), limit: g.settings.MaxBodyBytes}
	_ = control.SetReadDeadline(time.Now().Add(g.settings.ReadTimeout))
	var defaults batchBody
	if err := reader.defaults(&defaults); err != nil {
		return err
	}
	_ = control.SetReadDeadline(time.Time{}) // further lines may take their time
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	request := flowgram.BatchRequest{
		RunRequest: flowgram.RunRequest{
			Schema:      json.RawMessage(*defaults.Schema),
			Labels:      defaults.Labels,
			DisplayName: defaults.DisplayName,
			TaskTimeout: time.Duration(defaults.Timeout) * time.Millisecond,
		},
		MaxInFlight: defaults.MaxInFlight,
	}
	answer := &batchAnswer{writer: w, control: control, timeout: g.settings.WriteTimeout}
	for outcome, err := range g.client.RunBatch(ctx, request, reader.runs()) {
		if err != nil {
			return answer.end(reader, err)
		}
		if err := answer.write(append(reader.takeWrong(), appendOutcome(outcome)...)); err != nil {
			return nil // the client has left
		}
	}
	return answer.end(reader, reader.failed())
}

func appendOutcome(outcome *flowgram.BatchOutcome) []byte {
	if outcome.Refusal != nil {
		return appendLine(nil, struct {
			Key   string          `json:"key"`
			Error json.RawMessage `json:"error"`
		}{outcome.Key, problemOf(outcome.Refusal).body()})
	}
	shape := batchOutcomeShape{
		Key: outcome.Key, TaskID: outcome.Result.TaskID, WorkflowStatus: shapeStatus(outcome.Result.Status),
		Outputs: outcome.Result.Outputs,
	}
	for _, message := range outcome.Result.Errors {
		shape.Messages = append(shape.Messages, shapeMessage(message))
	}
	return appendLine(nil, shape)
}

func appendLine(b []byte, shape any) []byte {
	encoded, err := encode(shape)
	if err != nil { // an outcome with outputs that are no JSON, which the server never sends
		encoded, _ = encode(map[string]any{"error": json.RawMessage(problemOf(err).body())})
	}
	return append(append(b, encoded...), '\n')
}

// batchReader reads the lines of a batch. RunBatch takes the runs in a goroutine of its own.
type batchReader struct {
	lines *bufio.Reader
	limit int64

	mutex  sync.Mutex
	number int
	wrong  []byte // the lines of the answer for lines that are wrong
	err    error  // what ended the lines early
}

// next is the next line that is not blank; nil at the end.
func (b *batchReader) next() ([]byte, error) {
	for {
		var line []byte
		for {
			part, err := b.lines.ReadSlice('\n')
			line = append(line, part...)
			if int64(len(line)) > b.limit {
				return nil, &problem{
					status: http.StatusRequestEntityTooLarge, code: "BODY_TOO_LARGE",
					message: fmt.Sprintf("a line of the body has more than %d bytes", b.limit),
				}
			}
			if err == nil || errors.Is(err, io.EOF) {
				line = bytes.TrimSpace(line)
				if len(line) > 0 {
					b.mutex.Lock()
					b.number++
					b.mutex.Unlock()
					return line, nil
				}
				if err != nil {
					return nil, nil
				}
				break
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil, &problem{
					status: http.StatusRequestTimeout, code: "BODY_TIMED_OUT",
					message: "the body of the request did not come in time",
				}
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return nil, invalid("the body did not come to its end")
			}
		}
	}
}

func (b *batchReader) defaults(defaults *batchBody) error {
	line, err := b.next()
	if err != nil {
		return err
	}
	if line == nil {
		return invalid("the first line must have the defaults of the batch")
	}
	return parseBody(line, defaults)
}

// runs are the runs of all further lines that are not wrong.
func (b *batchReader) runs() iter.Seq[flowgram.BatchRun] {
	return func(yield func(flowgram.BatchRun) bool) {
		for {
			line, err := b.next()
			if err != nil {
				b.mutex.Lock()
				b.err = err
				b.mutex.Unlock()
			}
			if line == nil {
				return
			}
			var body batchRunBody
			if err := parseBody(line, &body); err != nil {
				b.addWrong(problemOf(err))
				continue
			}
			key := body.Key
			if key == "" {
				key = strconv.Itoa(b.number)
			}
			run := flowgram.BatchRun{
				Key: key, Inputs: body.Inputs, Labels: body.Labels, DisplayName: body.DisplayName, RequestID: body.RequestID,
			}
			if !yield(run) {
				return
			}
		}
	}
}

func (b *batchReader) addWrong(p *problem) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.wrong = appendLine(b.wrong, struct {
		Line  int             `json:"line"`
		Error json.RawMessage `json:"error"`
	}{b.number, p.body()})
}

func (b *batchReader) takeWrong() []byte {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	wrong := b.wrong
	b.wrong = nil
	return wrong
}

func (b *batchReader) failed() error {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.err
}

// batchAnswer writes the lines of an answer; opened with the first one.
type batchAnswer struct {
	writer  http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	opened  bool
}

func (a *batchAnswer) write(lines []byte) error {
	if !a.opened {
		a.opened = true
		header := a.writer.Header()
		header.Set("Content-Type", "application/x-ndjson")
		header.Set("Cache-Control", "no-store")
		header.Set("X-Accel-Buffering", "no")
		a.writer.WriteHeader(http.StatusOK)
	}
	_ = a.control.SetWriteDeadline(time.Now().Add(a.timeout))
	if _, err := a.writer.Write(lines); err != nil {
		return err
	}
	return a.control.Flush()
}

// end says what is left to say. An error before there was an outcome becomes the status of the answer.
func (a *batchAnswer) end(reader *batchReader, err error) error {
	lines := reader.takeWrong()
	if err != nil && !a.opened && len(lines) == 0 {
		return err
	}
	if err != nil {
		lines = appendLine(lines, map[string]any{"error": json.RawMessage(problemOf(err).body())})
	}
	_ = a.write(lines) // the client may have left
	return nil
}
