package gateway

import (
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"aigateway/memory"
)

// keepAlive sends comments to a streaming client while no endpoint has
// answered, so that nothing between the two gives the connection up. From its
// first comment on the status is 200 and errors come as events.
type keepAlive struct {
	mu    sync.Mutex // held while a comment is written
	timer *time.Timer
	over  bool // guarded by mu
}

// keepAlive starts the comments, if the application wants them and the client
// a stream; the first names the conversation. The caller must stop it before it writes anything itself.
func (s *Server) keepAlive(c *gin.Context, app *App, stream bool, thread *memory.Thread) *keepAlive {
	every := app.SSEKeepAlive.Duration()
	if every <= 0 || !stream {
		return nil
	}
	k := &keepAlive{}
	deadline := s.writeDeadline(c, app.writeTimeout)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(every, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.over || gone(c) {
			return
		}
		if !c.Writer.Written() {
			sayThread(c, thread)
			h := c.Writer.Header()
			h["Content-Type"] = []string{"text/event-stream; charset=utf-8"}
			h["Cache-Control"] = []string{"no-cache"}
			h["X-Accel-Buffering"] = []string{"no"}
		}
		deadline()
		if _, err := c.Writer.WriteString(": waiting for the model\n\n"); err != nil {
			return
		}
		c.Writer.Flush()
		k.timer.Reset(every)
	})
	return k
}

// stop ends the comments; when it returns, none is being written. A nil
// keepAlive never began.
func (k *keepAlive) stop() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.over = true
	k.timer.Stop()
}

// begun marks err as a fault of an answer that has begun, when comments have
// been sent.
func begun(c *gin.Context, err error) error {
	if !c.Writer.Written() {
		return err
	}
	return &brokenAnswer{err: err}
}
