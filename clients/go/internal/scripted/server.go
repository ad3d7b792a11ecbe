// Package scripted is a fake of the runtime for tests: a gRPC server in memory, whose answers a test writes down.
package scripted

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	runtimev1 "github.com/flowgram/flowgram-server/clients/go/flowgram/runtime/v1"
)

// Server answers with the functions that a test sets; a method without one is unimplemented.
type Server struct {
	runtimev1.UnimplementedWorkflowRuntimeServiceServer

	OnRun      func(context.Context, *runtimev1.TaskRunRequest) (*runtimev1.TaskRunResponse, error)
	OnValidate func(*runtimev1.TaskValidateRequest) (*runtimev1.TaskValidateResponse, error)
	OnReport   func(*runtimev1.TaskReportRequest) (*runtimev1.TaskReportResponse, error)
	OnResult   func(context.Context, *runtimev1.TaskResultRequest) (*runtimev1.TaskResultResponse, error)
	OnCancel   func(*runtimev1.TaskCancelRequest) (*runtimev1.TaskCancelResponse, error)
	OnGet      func(*runtimev1.TaskGetRequest) (*runtimev1.TaskGetResponse, error)
	OnList     func(*runtimev1.TaskListRequest) (*runtimev1.TaskListResponse, error)
	OnWatch    func(*runtimev1.WatchTaskRequest, Stream) error
	OnTasks    func(*runtimev1.WatchTasksRequest, TasksStream) error
	OnBatch    func(BatchStream) error
	OnInfo     func(context.Context) (*runtimev1.ServerInfoResponse, error)

	mutex    sync.Mutex
	listener *bufconn.Listener
	server   *grpc.Server
}

// Stream is what a watcher gets.
type Stream = grpc.ServerStreamingServer[runtimev1.WatchTaskResponse]

// TasksStream is what a watcher of tasks gets.
type TasksStream = grpc.ServerStreamingServer[runtimev1.WatchTasksResponse]

// BatchStream is what a client of a batch speaks on.
type BatchStream = grpc.BidiStreamingServer[runtimev1.TaskRunBatchRequest, runtimev1.TaskRunBatchResponse]

// Start begins to serve.
func (s *Server) Start() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.listener, s.server = bufconn.Listen(64*1024), grpc.NewServer(
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 8 * time.Second})) // as the service
	runtimev1.RegisterWorkflowRuntimeServiceServer(s.server, s)
	go func(server *grpc.Server, listener net.Listener) { _ = server.Serve(listener) }(s.server, s.listener)
}

// Stop breaks all connections.
func (s *Server) Stop() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.server.Stop()
}

// Dialer connects to the server that was started last.
func (s *Server) Dialer() grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		s.mutex.Lock()
		listener := s.listener
		s.mutex.Unlock()
		return listener.DialContext(ctx)
	})
}

// TaskRun answers with OnRun; so do the other methods with theirs.
func (s *Server) TaskRun(
	ctx context.Context, request *runtimev1.TaskRunRequest,
) (*runtimev1.TaskRunResponse, error) {
	if s.OnRun == nil {
		return s.UnimplementedWorkflowRuntimeServiceServer.TaskRun(ctx, request)
	}
	return s.OnRun(ctx, request)
}

func (s *Server) TaskValidate(
	ctx context.Context, request *runtimev1.TaskValidateRequest,
) (*runtimev1.TaskValidateResponse, error) {
	if s.OnValidate == nil {
		return s.UnimplementedWorkflowRuntimeServiceServer.TaskValidate(ctx, request)
	}
	return s.OnValidate(request)
}

func (s *Server) TaskReport(
	ctx context.Context, request *runtimev1.TaskReportRequest,
) (*runtimev1.TaskReportResponse, error) {
	if s.OnReport == nil {
		return s.UnimplementedWorkflowRuntimeServiceServer.TaskReport(ctx, request)
	}
	return s.OnReport(request)
}

func (s *Server) TaskResult(
	ctx context.Context, request *runtimev1.TaskResultRequest,
) (*runtimev1.TaskResultResponse, error) {
	if s.OnResult == nil {
		return s.UnimplementedWorkflowRuntimeServiceServer.TaskResult(ctx, request)
	}
	return s.OnResult(ctx, request)
}

func (s *Server) TaskCancel(
	ctx context.Context, request *runtimev1.TaskCancelRequest,
) (*runtimev1.TaskCancelResponse, error) {
	if s.OnCancel == nil {
		return s.UnimplementedWorkflowRuntimeServiceServer.TaskCancel(ctx, request)
	}
	return s.OnCancel(request)
}

func (s *Server) TaskList(
	ctx context.Context, request *runtimev1.TaskListRequest,
) (*runtimev1.TaskListResponse, error) {
	if s.OnList == nil {
		return s.UnimplementedWorkflowRuntimeServiceServer.TaskList(ctx, request)
	}
	return s.OnList(request)
}

func (s *Server) WatchTask(request *runtimev1.WatchTaskRequest, stream Stream) error {
	if s.OnWatch == nil {
		return s.UnimplementedWorkflowRuntimeServiceServer.WatchTask(request, stream)
	}
	return s.OnWatch(request, stream)
}

func (s *Server) TaskGet(
	ctx context.Context, request *runtimev1.TaskGetRequest,
) (*runtimev1.TaskGetResponse, error) {
	if s.OnGet == nil {
		return s.UnimplementedWorkflowRuntimeServiceServer.TaskGet(ctx, request)
	}
	return s.OnGet(request)
}

func (s *Server) WatchTasks(request *runtimev1.WatchTasksRequest, stream TasksStream) error {
	if s.OnTasks == nil {
		return s.UnimplementedWorkflowRuntimeServiceServer.WatchTasks(request, stream)
	}
	return s.OnTasks(request, stream)
}

func (s *Server) TaskRunBatch(stream BatchStream) error {
	if s.OnBatch == nil {
		return s.UnimplementedWorkflowRuntimeServiceServer.TaskRunBatch(stream)
	}
	return s.OnBatch(stream)
}

func (s *Server) ServerInfo(
	ctx context.Context, request *runtimev1.ServerInfoRequest,
) (*runtimev1.ServerInfoResponse, error) {
	if s.OnInfo == nil {
		return s.UnimplementedWorkflowRuntimeServiceServer.ServerInfo(ctx, request)
	}
	return s.OnInfo(ctx)
}

// Refusal is a status with the details that the service sends; a reason of "" and an advice of 0 are left out.
func Refusal(
	code codes.Code, reason string, advice time.Duration, violations ...*errdetails.BadRequest_FieldViolation,
) error {
	var details []protoadapt.MessageV1
	if reason != "" {
		details = append(details, &errdetails.ErrorInfo{
			Domain: "flowgram.runtime", Reason: reason, Metadata: map[string]string{"task_id": "t1"},
		})
	}
	if violations != nil {
		details = append(details, &errdetails.BadRequest{FieldViolations: violations})
	}
	if advice != 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(advice)})
	}
	refusal, err := status.New(code, "refused").WithDetails(details...)
	if err != nil {
		panic(err)
	}
	return refusal.Err()
}

// RequestTooLarge is the error of a request beyond the limit of the server.
func RequestTooLarge() error {
	refusal, err := status.New(codes.ResourceExhausted, "refused").WithDetails(&errdetails.ErrorInfo{
		Domain: "flowgram.runtime", Reason: "MESSAGE_TOO_LARGE", Metadata: map[string]string{"message": "request"},
	})
	if err != nil {
		panic(err)
	}
	return refusal.Err()
}

// History is the events of a task that ran well: it starts, says something, and ends.
func History(count int) []*runtimev1.TaskEvent {
	events := make([]*runtimev1.TaskEvent, count)
	for i := range events {
		events[i] = &runtimev1.TaskEvent{
			Sequence: int64(i + 1),
			Time:     &timestamppb.Timestamp{Seconds: 1_700_000_000, Nanos: int32(i) * 1_000_000},
			Event:    &runtimev1.TaskEvent_Message{Message: &runtimev1.Message{Text: "step"}},
		}
	}
	events[0].Event = statusChanged(runtimev1.Status_STATUS_PROCESSING, "")
	events[count-1].Event = statusChanged(runtimev1.Status_STATUS_SUCCEEDED, `{"n": 12345678901234567890}`)
	return events
}

func statusChanged(status runtimev1.Status, outputs string) *runtimev1.TaskEvent_TaskStatusChanged {
	return &runtimev1.TaskEvent_TaskStatusChanged{TaskStatusChanged: &runtimev1.TaskStatusChanged{
		Status:  Status(status),
		Outputs: outputs,
	}}
}

// Status is a status, as the service sends it.
func Status(status runtimev1.Status) *runtimev1.StatusInfo {
	return &runtimev1.StatusInfo{Status: status, Terminated: status >= runtimev1.Status_STATUS_SUCCEEDED}
}

// Send tells events in one response.
func Send(stream Stream, events ...*runtimev1.TaskEvent) error {
	return stream.Send(&runtimev1.WatchTaskResponse{Events: events})
}
