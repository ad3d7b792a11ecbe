package gateway

import (
	"encoding/json"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"
)

// AuditLog gets a line of JSON for each request that the gateway itself refuses; what the server refuses is audited there.
type AuditLog struct {
	mutex  sync.Mutex
	path   string
	file   *os.File
	failed bool
}

// StandardOutput stands for it where a file is named.
const StandardOutput = "-"

const auditMode fs.FileMode = 0o600

// auditedStatuses are those of answers that say that a request was refused, by their names.
var auditedStatuses = map[int]string{
	http.StatusUnauthorized:          "UNAUTHORIZED",
	http.StatusForbidden:             "FORBIDDEN",
	http.StatusRequestTimeout:        "REQUEST_TIMEOUT",
	http.StatusRequestEntityTooLarge: "REQUEST_ENTITY_TOO_LARGE",
	http.StatusUnsupportedMediaType:  "UNSUPPORTED_MEDIA_TYPE",
	http.StatusServiceUnavailable:    "SERVICE_UNAVAILABLE",
}

// OpenAuditLog opens the file that lines are added to. It is made for its owner only, and made anew where it was moved away.
func OpenAuditLog(path string) (*AuditLog, error) {
	if path == StandardOutput {
		return &AuditLog{path: path, file: os.Stdout}, nil
	}
	file, err := openAudit(path)
	if err != nil {
		return nil, err
	}
	return &AuditLog{path: path, file: file}, nil
}

func openAudit(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, auditMode)
}

func (a *AuditLog) refused(r *http.Request, p *problem) {
	line, err := json.Marshal(struct {
		Time      string  `json:"time"`
		Principal *string `json:"principal"`
		Namespace *string `json:"namespace"`
		Peer      string  `json:"peer"`
		Method    string  `json:"method"`
		Allowed   bool    `json:"allowed"`
		Reason    string  `json:"reason"`
		Status    string  `json:"status"`
	}{
		Time: time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), Peer: r.RemoteAddr,
		Method: r.Method + " " + shownPath(r), Reason: p.code, Status: auditedStatuses[p.status],
	})
	if err != nil {
		panic(err) // texts can be encoded
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	err = a.write(append(line, '\n'))
	if err != nil && !a.failed {
		slog.Error("the audit log cannot be written: lines are lost", "error", err)
	}
	a.failed = err != nil
}

func (a *AuditLog) write(line []byte) error {
	if a.path != StandardOutput {
		ours, err := a.file.Stat()
		if err != nil {
			return err
		}
		if there, err := os.Stat(a.path); err != nil || !os.SameFile(ours, there) {
			opened, err := openAudit(a.path)
			if err != nil {
				return err
			}
			_ = a.file.Close()
			a.file = opened
		}
	}
	_, err := a.file.Write(line)
	return err
}

func shownPath(r *http.Request) string { return r.URL.Path[:min(len(r.URL.Path), 128)] }
