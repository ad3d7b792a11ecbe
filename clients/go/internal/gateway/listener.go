package gateway

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Limit is a listener with so many connections at once; those beyond are closed as they come.
func Limit(listener net.Listener, connections int) net.Listener {
	return &limitedListener{Listener: listener, limit: int64(connections)}
}

// Between two lines that say that there are too many connections.
const limitLogInterval = 10 * time.Second

type limitedListener struct {
	net.Listener
	limit  int64
	open   atomic.Int64
	logged time.Time // used by Accept only, which one goroutine calls
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		connection, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.limit {
			return &countedConnection{Conn: connection, listener: l}, nil
		}
		l.open.Add(-1)
		_ = connection.Close() // nothing was said on it
		if now := time.Now(); now.Sub(l.logged) > limitLogInterval {
			l.logged = now
			slog.Warn("too many connections: closed", "limit", l.limit)
		}
	}
}

type countedConnection struct {
	net.Conn
	listener *limitedListener
	once     sync.Once
}

func (c *countedConnection) Close() error {
	c.once.Do(func() { c.listener.open.Add(-1) })
	return c.Conn.Close()
}
