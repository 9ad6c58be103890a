//go:build linux && amd64

package main

import (
	"net/url"
	"strings"
	"sync"
)

// sessions are those named by session_id: they keep temporary tables and
// settings from one request to the next, which must not overlap. They end with
// close_session=1 or the process.
type sessions struct {
	mu   sync.Mutex
	open map[string]*session
}

type session struct {
	conn *conn
	busy bool
}

// session returns the engine's session of a request and what to call after it.
func (s *server) session(values url.Values) (*conn, func(), error) {
	id := values.Get("session_id")
	if id == "" {
		c, err := s.engine.connect()
		if err != nil {
			return nil, nil, err
		}
		return c, c.close, c.set("implicit_select", "0")
	}
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	held := s.sessions.open[id]
	switch {
	case held == nil && values.Get("session_check") == "1":
		return nil, nil, raise(codeSessionNotFound, "Session "+id+" not found", "SESSION_NOT_FOUND")
	case held != nil && held.busy:
		return nil, nil, raise(codeSessionIsLocked, "Session "+id+" is locked by a concurrent client", "SESSION_IS_LOCKED")
	case held == nil:
		c, err := s.engine.connect()
		if err != nil {
			return nil, nil, err
		}
		if err := c.set("implicit_select", "0"); err != nil {
			c.close()
			return nil, nil, err
		}
		held = &session{conn: c}
		if s.sessions.open == nil {
			s.sessions.open = make(map[string]*session)
		}
		s.sessions.open[id] = held
	}
	held.busy = true
	return held.conn, func() { s.sessions.release(id, held, values.Get("close_session") == "1") }, nil
}

func (s *sessions) release(id string, held *session, end bool) {
	// After an error the library leaves output that the next statement would
	// return; this one takes it.
	_, _ = held.conn.query("SELECT 1", "Null", nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	held.busy = false
	if end {
		held.conn.close()
		delete(s.open, id)
	}
}

func (s *sessions) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, held := range s.open {
		held.conn.close()
		delete(s.open, id)
	}
}

// single refuses several statements in one request, as a server does; the
// library would run them all.
func (c *conn) single(text string) error {
	if !strings.Contains(text, ";") || c.lib.statements(c, text) <= 1 {
		return nil
	}
	return raise(codeSyntaxError, "Syntax error (Multi-statements are not allowed)", "SYNTAX_ERROR")
}
