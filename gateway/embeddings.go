package gateway

import (
	"github.com/gin-gonic/gin"

	"aigateway/openai"
	"aigateway/persist"
)

// embeddings answers one request for embeddings.
func (s *Server) embeddings(c *gin.Context, in *inbound, req *openai.Request, x *persist.Exchange) error {
	if !req.HasInput {
		return &openai.RequestError{Param: "input", Message: "input is missing; embeddings need a text, or a list of texts."}
	}
	if err := in.allow(req.Model); err != nil {
		return err
	}
	answered, err := s.forward(c.Request.Context(), in, in.call(c, x), req, x)
	if err != nil {
		return err
	}
	defer s.close(in, answered, x)
	return s.relay(c, in, answered, &after{req: req}, x)
}
