package gateway

import (
	"errors"

	"github.com/gin-gonic/gin"

	"aigateway/openai"
	"aigateway/persist"
)

// completions answers one request of the older completions API.
func (s *Server) completions(c *gin.Context, in *inbound, req *openai.Request, x *persist.Exchange) error {
	if err := in.allow(req.Model); err != nil {
		return err
	}

	// Has it been answered?
	hit, miss := s.lookUp(c, in, req, x)
	if hit != nil {
		if err := s.replay(c, in, req, hit, nil, x); !errors.Is(err, errNotReplayed) {
			return err
		}
	}

	// Ask an endpoint, and another if it will not.
	in.wantsWhole = miss.Storable() || in.keepsAnswer()
	ctx, left := in.detach(c, req)
	defer left.end()
	alive := s.keepAlive(c, in.app, req.Stream, nil)
	defer alive.stop()
	answered, err := s.forward(ctx, in, in.call(c, x), req, x)
	alive.stop()
	if err != nil {
		return begun(c, err)
	}
	defer s.close(in, answered, x)

	// Answer.
	return s.relay(c, in, answered, &after{chat: true, req: req, miss: miss}, x)
}
