package gateway

import (
	"errors"

	"github.com/gin-gonic/gin"

	"aigateway/openai"
	"aigateway/persist"
)

// chat answers one chat request.
func (s *Server) chat(c *gin.Context, in *inbound, req *openai.Request, x *persist.Exchange) error {
	// May this model be asked?
	if !req.HasMessages {
		return &openai.RequestError{Param: "messages", Message: "messages is missing; a chat completion needs a list of messages."}
	}
	if err := in.allow(req.Model); err != nil {
		return err
	}

	// What was said before, and has it been answered?
	thread, err := s.expand(c, in, req, x)
	if err != nil {
		return err
	}
	// How much may be used?
	if err := s.admit(c, in, req, x); err != nil {
		return err
	}
	hit, miss := s.lookUp(c, in, req, x)
	if hit != nil {
		if err := s.replay(c, in, req, hit, thread, x); !errors.Is(err, errNotReplayed) {
			return err
		}
	}

	// Ask an endpoint, and another if it will not.
	if err := in.app.lendSearchKey(req); err != nil {
		return err
	}
	in.wantsWhole = thread != nil || miss.Storable() || in.keepsAnswer()
	ctx, left := in.detach(c, req)
	defer left.end()
	alive := s.keepAlive(c, in.app, req.Stream, thread)
	defer alive.stop()
	if in.app.MemorySettings.Affinity && thread != nil {
		in.prefer = thread.Endpoint()
	}
	answered, err := s.forward(ctx, in, in.call(c, x), req, x)
	alive.stop()
	if err != nil {
		return begun(c, err)
	}
	defer s.close(in, answered, x)

	// Answer.
	return s.relay(c, in, answered, &after{chat: true, req: req, thread: thread, miss: miss}, x)
}
