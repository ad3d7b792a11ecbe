package flowgram

import (
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Reasons are those of the service; a proxy's own say nothing here.
func TestForeignReasons(t *testing.T) {
	for domain, reason := range map[string]string{"flowgram.runtime": "TASK_NOT_FOUND", "proxy.example": ""} {
		info := &errdetails.ErrorInfo{Domain: domain, Reason: "TASK_NOT_FOUND"}
		told, err := status.New(codes.NotFound, "no").WithDetails(info)
		if err != nil {
			t.Fatal(err)
		}
		if found := errorFrom(t.Context(), told.Err()); found.Reason != reason || found.Code != codes.NotFound {
			t.Errorf("%s: %+v", domain, found)
		}
	}
}
