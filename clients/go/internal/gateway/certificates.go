package gateway

import (
	"context"
	"crypto/tls"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// Between two looks at the files of a certificate.
const certificateInterval = time.Second

// Certificates are the gateway's own certificate and its key, read again when their files change.
type Certificates struct {
	certificate, key string
	loaded           atomic.Pointer[tls.Certificate]
	seen             [2]os.FileInfo // nil: there was none
	unread           bool
}

// LoadCertificates reads a certificate and its key, both in PEM.
func LoadCertificates(certificate, key string) (*Certificates, error) {
	c := &Certificates{certificate: certificate, key: key}
	c.seen = c.states()
	return c, c.load()
}

// Config is for a listener of HTTP. TLS 1.2 or newer, and the newest certificate for each connection.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.loaded.Load(), nil
		},
	}
}

// Keep reads the files again when they change, until ctx ends. Files that do not fit change nothing.
func (c *Certificates) Keep(ctx context.Context) {
	ticks := time.NewTicker(certificateInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			c.look()
		}
	}
}

func (c *Certificates) look() {
	states := c.states()
	same := true
	for i, state := range states {
		same = same && isUnchanged(c.seen[i], state)
	}
	if same && !c.unread {
		return
	}
	c.seen = states
	if err := c.load(); err != nil {
		c.unread = true // such as for want of file descriptors: it is tried again
		if !same {
			slog.Error("changed files cannot be used: what was read before stays", "error", err)
		}
		return
	}
	c.unread = false
	slog.Info("files were read again", "certificate", c.certificate, "key", c.key)
}

func (c *Certificates) load() error {
	pair, err := tls.LoadX509KeyPair(c.certificate, c.key)
	if err == nil {
		c.loaded.Store(&pair)
	}
	return err
}

func (c *Certificates) states() [2]os.FileInfo {
	var states [2]os.FileInfo
	for i, path := range []string{c.certificate, c.key} {
		if info, err := os.Stat(path); err == nil {
			states[i] = info
		}
	}
	return states
}

func isUnchanged(before, now os.FileInfo) bool {
	if before == nil || now == nil {
		return before == nil && now == nil
	}
	return os.SameFile(before, now) && before.Size() == now.Size() && before.ModTime().Equal(now.ModTime())
}
