package gateway

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"
)

// The messages of the contract in the shapes that FlowGram's editor expects. JSON that users wrote is put in as the text
// that it is, so that its numbers keep every digit. Times are whole milliseconds, since the epoch where they are moments.

var statusWords = map[flowgram.Status]string{
	flowgram.StatusPending:    "pending",
	flowgram.StatusProcessing: "processing",
	flowgram.StatusSucceeded:  "succeeded",
	flowgram.StatusFailed:     "failed",
	flowgram.StatusCanceled:   "canceled",
}

var messageWords = map[runtimev1.Message_Type]string{
	runtimev1.Message_TYPE_LOG:     "log",
	runtimev1.Message_TYPE_INFO:    "info",
	runtimev1.Message_TYPE_DEBUG:   "debug",
	runtimev1.Message_TYPE_ERROR:   "error",
	runtimev1.Message_TYPE_WARNING: "warning",
}

type statusShape struct {
	Status     string `json:"status"`
	Terminated bool   `json:"terminated"`
	StartTime  int64  `json:"startTime"` // 0 until it has started: FlowGram demands a number
	TimeCost   int64  `json:"timeCost"`
	EndTime    int64  `json:"endTime,omitempty"`
}

type iterationShape struct {
	LoopNodeID string `json:"loopNodeID"`
	Index      int32  `json:"index"`
}

type snapshotShape struct {
	ID         string           `json:"id"`
	NodeID     string           `json:"nodeID"`
	Iterations []iterationShape `json:"iterations,omitempty"` // in events only
	Inputs     json.RawMessage  `json:"inputs,omitempty"`
	Data       json.RawMessage  `json:"data,omitempty"` // in reports only
	Outputs    json.RawMessage  `json:"outputs,omitempty"`
	Branch     string           `json:"branch,omitempty"`
	Error      string           `json:"error,omitempty"`
}

type nodeReportShape struct {
	ID string `json:"id"`
	statusShape
	Snapshots []snapshotShape `json:"snapshots"`
}

type messageShape struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	Message   string `json:"message"`
	NodeID    string `json:"nodeID,omitempty"`
	Timestamp int64  `json:"timestamp"`
}

type reportShape struct {
	ID             string                    `json:"id"`
	Inputs         json.RawMessage           `json:"inputs"`
	Outputs        json.RawMessage           `json:"outputs"`
	WorkflowStatus statusShape               `json:"workflowStatus"`
	Reports        orderedReports            `json:"reports"`
	Messages       map[string][]messageShape `json:"messages"`
}

// orderedReports are by node, in the order in which the nodes first started.
type orderedReports []nodeReportShape

func (r orderedReports) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, report := range r {
		encoded, err := encode(report)
		if err != nil {
			return nil, err
		}
		name, err := encode(report.ID)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, name...), ':'), encoded...)
	}
	return append(b, '}'), nil
}

type taskSummaryShape struct {
	TaskID         string            `json:"taskID"`
	WorkflowStatus statusShape       `json:"workflowStatus"`
	CreateTime     int64             `json:"createTime"`
	Labels         map[string]string `json:"labels"`
	LastSequence   int64             `json:"lastSequence"`
	DisplayName    string            `json:"displayName,omitempty"`
	Namespace      string            `json:"namespace,omitempty"`
}

type taskShape struct {
	taskSummaryShape
	Schema  string          `json:"schema"`
	Inputs  json.RawMessage `json:"inputs"`
	Timeout *int64          `json:"timeout,omitempty"`
}

type taskListShape struct {
	Tasks         []taskSummaryShape `json:"tasks"`
	NextPageToken string             `json:"nextPageToken,omitempty"`
}

type callerShape struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Role      string `json:"role"`
}

type infoShape struct {
	Name        string   `json:"name"`
	Title       string   `json:"title"`
	Description string   `json:"description"`
	Runtime     string   `json:"runtime"`
	Version     string   `json:"version"`
	Time        string   `json:"time"` // as JavaScript's toISOString writes it
	NodeTypes   []string `json:"nodeTypes"`
	Features    []string `json:"features"`
	Limits      struct {
		MaxMessageBytes int64 `json:"maxMessageBytes"`
		MaxSchemaBytes  int64 `json:"maxSchemaBytes"`
		MaxInputsBytes  int64 `json:"maxInputsBytes"`
	} `json:"limits"`
	Caller *callerShape `json:"caller,omitempty"`
}

type eventShape struct {
	Type           string          `json:"type"`
	Sequence       int64           `json:"sequence,omitempty"`
	Timestamp      int64           `json:"timestamp"`
	WorkflowStatus *statusShape    `json:"workflowStatus,omitempty"`
	Outputs        json.RawMessage `json:"outputs,omitempty"`
	NodeID         string          `json:"nodeID,omitempty"`
	NodeStatus     *statusShape    `json:"nodeStatus,omitempty"`
	Snapshot       *snapshotShape  `json:"snapshot,omitempty"`
	Message        *messageShape   `json:"message,omitempty"`
	SnapshotID     string          `json:"snapshotID,omitempty"`
	Text           *string         `json:"text,omitempty"`
	FromStart      bool            `json:"fromStart,omitempty"`
}

func milliseconds(moment *timestamppb.Timestamp) int64 {
	if moment == nil {
		return 0
	}
	return moment.AsTime().UnixMilli()
}

func durationMilliseconds(duration *durationpb.Duration) int64 {
	return duration.AsDuration().Milliseconds()
}

func shapeStatus(info *flowgram.StatusInfo) statusShape {
	word, known := statusWords[info.GetStatus()]
	if !known {
		word = "pending"
	}
	return statusShape{
		word, info.GetTerminated(), milliseconds(info.GetStartTime()), durationMilliseconds(info.GetTimeCost()),
		milliseconds(info.GetEndTime()),
	}
}

// text is a JSON document of the contract, if there is one.
func text(document string) json.RawMessage {
	if document == "" {
		return nil
	}
	return json.RawMessage(document)
}

// object is a JSON object of the contract; no text is an empty one.
func object(document string) json.RawMessage {
	if document == "" {
		return json.RawMessage("{}")
	}
	return json.RawMessage(document)
}

// shapeSnapshotEvent is what an event tells of one run of a node: the one that ends it repeats nothing.
func shapeSnapshotEvent(snapshot *flowgram.Snapshot) snapshotShape {
	shape := snapshotShape{
		ID: snapshot.GetId(), NodeID: snapshot.GetNodeId(), Inputs: text(snapshot.GetInputs()),
		Outputs: text(snapshot.GetOutputs()), Branch: snapshot.GetBranch(), Error: snapshot.GetError(),
	}
	for _, each := range snapshot.GetIterations() {
		shape.Iterations = append(shape.Iterations, iterationShape{each.GetLoopNodeId(), each.GetIndex()})
	}
	return shape
}

// shapeSnapshot is one run of a node, with the fields that FlowGram demands.
func shapeSnapshot(snapshot *flowgram.Snapshot) snapshotShape {
	shape := shapeSnapshotEvent(snapshot)
	shape.Iterations = nil
	shape.Inputs, shape.Data = object(snapshot.GetInputs()), object(snapshot.GetData())
	return shape
}

func shapeMessage(message *flowgram.Message) messageShape {
	word, known := messageWords[message.GetType()]
	if !known {
		word = "log"
	}
	return messageShape{
		message.GetId(), word, message.GetText(), message.GetNodeId(), milliseconds(message.GetTime()),
	}
}

func shapeReport(report *flowgram.Report) reportShape {
	shape := reportShape{
		ID:             report.GetTaskId(),
		Inputs:         object(report.GetInputs()),
		Outputs:        object(report.GetOutputs()),
		WorkflowStatus: shapeStatus(report.GetStatus()),
		Messages:       map[string][]messageShape{},
	}
	for _, word := range messageWords {
		shape.Messages[word] = []messageShape{}
	}
	for _, node := range report.GetNodes() {
		each := nodeReportShape{node.GetNodeId(), shapeStatus(node.GetStatus()), []snapshotShape{}}
		for _, snapshot := range node.GetSnapshots() {
			each.Snapshots = append(each.Snapshots, shapeSnapshot(snapshot))
		}
		shape.Reports = append(shape.Reports, each)
	}
	for _, message := range report.GetMessages() {
		each := shapeMessage(message)
		shape.Messages[each.Type] = append(shape.Messages[each.Type], each)
	}
	return shape
}

func shapeTaskSummary(task *flowgram.TaskSummary) taskSummaryShape {
	labels := task.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	return taskSummaryShape{
		task.GetTaskId(), shapeStatus(task.GetStatus()), milliseconds(task.GetCreateTime()), labels,
		task.GetLastSequence(), task.GetDisplayName(), task.GetNamespace(),
	}
}

func shapeTaskSummaries(tasks []*flowgram.TaskSummary) []taskSummaryShape {
	all := make([]taskSummaryShape, len(tasks))
	for i, task := range tasks {
		all[i] = shapeTaskSummary(task)
	}
	return all
}

func shapeTask(task *flowgram.Task) taskShape {
	shape := taskShape{shapeTaskSummary(task.GetSummary()), task.GetSchema(), object(task.GetInputs()), nil}
	if task.GetTimeout() != nil {
		timeout := durationMilliseconds(task.GetTimeout())
		shape.Timeout = &timeout
	}
	return shape
}

func shapeInfo(info *flowgram.ServerInfo) infoShape {
	shape := infoShape{
		Name: info.GetName(), Title: info.GetTitle(), Description: info.GetDescription(), Runtime: info.GetRuntime(),
		Version: info.GetVersion(), Time: info.GetTime().AsTime().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000Z"),
		NodeTypes: append([]string{}, info.GetNodeTypes()...), Features: append([]string{}, info.GetFeatures()...),
	}
	shape.Limits.MaxMessageBytes = info.GetLimits().GetMaxMessageBytes()
	shape.Limits.MaxSchemaBytes = info.GetLimits().GetMaxSchemaBytes()
	shape.Limits.MaxInputsBytes = info.GetLimits().GetMaxInputsBytes()
	if caller := info.GetCaller(); caller != nil {
		shape.Caller = &callerShape{caller.GetName(), caller.GetNamespace(), caller.GetRole()}
	}
	return shape
}

// shapeEvent is something that happened in a task; false for a kind that came after this version.
func shapeEvent(event *flowgram.Event) (eventShape, bool) {
	shape := eventShape{Sequence: event.GetSequence(), Timestamp: milliseconds(event.GetTime())}
	switch {
	case event.GetTaskStatusChanged() != nil:
		changed := event.GetTaskStatusChanged()
		status := shapeStatus(changed.GetStatus())
		shape.Type, shape.WorkflowStatus, shape.Outputs = "task_status_changed", &status, text(changed.GetOutputs())
	case event.GetNodeStatusChanged() != nil:
		changed := event.GetNodeStatusChanged()
		status, snapshot := shapeStatus(changed.GetStatus()), shapeSnapshotEvent(changed.GetSnapshot())
		shape.Type, shape.NodeID = "node_status_changed", changed.GetNodeId()
		shape.NodeStatus, shape.Snapshot = &status, &snapshot
	case event.GetMessage() != nil:
		message := shapeMessage(event.GetMessage())
		shape.Type, shape.Message = "message", &message
	case event.GetOutputDelta() != nil:
		delta := event.GetOutputDelta()
		text := delta.GetText()
		shape.Type, shape.NodeID, shape.SnapshotID = "output_delta", delta.GetNodeId(), delta.GetSnapshotId()
		shape.Text, shape.FromStart = &text, delta.GetFromStart()
	default:
		return shape, false
	}
	return shape, true
}

// encode is the JSON text of a shape, in one line.
func encode(shape any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(shape); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}

func writeJSON(w http.ResponseWriter, shape any) error {
	body, err := encode(shape)
	if err != nil {
		return err
	}
	writeBody(w, http.StatusOK, body)
	return nil
}

const writeTimeout = time.Minute

// writeBody answers. That the client has left by then is no error of the gateway's.
func writeBody(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	// a client that does not read keeps a connection for so long, and no longer
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
