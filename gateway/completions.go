package gateway

import (
	"github.com/gin-gonic/gin"

	"aigateway/openai"
	"aigateway/persist"
)

// completions answers one request of the older completions API.
func (s *Server) completions(c *gin.Context, in *inbound, req *openai.Request, x *persist.Exchange) error {
	ctx := c.Request.Context()
	if err := in.allow(req.Model); err != nil {
		return err
	}

	// Ask an endpoint, and another if it will not.
	alive := s.keepAlive(c, in.app, req.Stream)
	defer alive.stop()
	answered, err := s.forward(ctx, in, in.call(c, x), req, x)
	alive.stop()
	if err != nil {
		return begun(c, err)
	}
	defer s.close(answered)

	// Answer.
	return s.relay(c, answered, true, x)
}
