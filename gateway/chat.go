package gateway

import (
	"github.com/gin-gonic/gin"

	"aigateway/openai"
	"aigateway/persist"
)

// chat answers one chat request.
func (s *Server) chat(c *gin.Context, in *inbound, req *openai.Request, x *persist.Exchange) error {
	ctx := c.Request.Context()

	// May this model be asked?
	if !req.HasMessages {
		return &openai.RequestError{Param: "messages", Message: "messages is missing; a chat completion needs a list of messages."}
	}
	if err := in.allow(req.Model); err != nil {
		return err
	}

	// Ask an endpoint, and another if it will not.
	if err := in.app.lendSearchKey(req); err != nil {
		return err
	}
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
