package gateway

import (
	"github.com/gin-gonic/gin"

	"aigateway/backend"
	"aigateway/openai"
	"aigateway/persist"
)

// otherJSON answers an inference call that the gateway knows by its path only:
// responses, images, moderations, speech.
func (s *Server) otherJSON(c *gin.Context, in *inbound, req *openai.Request, x *persist.Exchange) error {
	if err := in.allow(req.Model); err != nil {
		return err
	}
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
	return s.relay(c, in, answered, &after{req: req}, x)
}

// passthrough answers an inference call whose body is a form or a file, such
// as a transcription. A long one is streamed; then only one endpoint can be
// asked once its first bytes have left.
func (s *Server) passthrough(c *gin.Context, in *inbound, x *persist.Exchange) error {
	in.operation = operation(in, &openai.Request{})
	x.Operation = in.operation
	if err := in.noThread(); err != nil {
		return err
	}
	in.keepPrompt(s)
	model, err := in.formModel()
	if err != nil {
		return err
	}
	x.Model = model
	if err := in.allow(model); err != nil {
		return err
	}
	if err := s.admit(c, in, nil, x); err != nil {
		return err
	}
	answered, err := s.forward(c.Request.Context(), in, in.call(c, x), nil, x)
	if err != nil {
		return err
	}
	defer s.close(in, answered, x)
	return s.relay(c, in, answered, &after{}, x)
}

// call is what every endpoint is asked for this request.
func (in *inbound) call(c *gin.Context, x *persist.Exchange) *backend.Call {
	call := &backend.Call{
		Path: in.operation, Header: c.Request.Header, ContentType: in.contentType,
		Body: in.body, Deadline: in.deadline(x.Start),
	}
	if !in.form() {
		call.ContentType = "application/json"
	}
	if in.stream != nil {
		call.Stream, call.Length = in.stream, in.length
	}
	return call
}
