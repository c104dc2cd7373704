package gateway

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"aigateway/persist"
)

// settle is the work after the answer: counters at once, and the access line.
// It runs also when the answer is being cut off.
func (s *Server) settle(c *gin.Context, in *inbound, x *persist.Exchange) {
	x.Duration = s.now().Sub(x.Start)
	x.BytesIn = in.received()
	if x.Status == 0 {
		x.Status = http.StatusInternalServerError // a panic is on its way up
	}
	s.account(in, x)
	s.persist(in, x)
	s.trace(in, x)
	in.release()
	s.metrics.End()
	if in.app != nil {
		in.app.Metrics.Observe(x)
	} else {
		s.metrics.Unrouted(x)
	}
	s.logExchange(c, x)
}

// firstByte notes that the answer's first byte has been written. A clock that
// has not moved since the request came does not make it one that was not.
func (s *Server) firstByte(x *persist.Exchange) {
	x.FirstByte = max(s.now().Sub(x.Start), 1)
}

// logExchange writes the access line of an inference call. It names no
// content, no key, and of the path only its pattern.
func (s *Server) logExchange(c *gin.Context, x *persist.Exchange) {
	ctx := c.Request.Context()
	if !s.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	attrs := make([]slog.Attr, 0, 24)
	attrs = append(attrs,
		slog.String("request_id", x.RequestID),
		slog.String("method", c.Request.Method),
		slog.String("route", c.FullPath()),
		slog.String("app", x.App),
		slog.String("operation", shown(x.Operation, 64)),
		slog.Int("status", x.Status),
		slog.Float64("duration_ms", millis(x.Duration)),
		slog.Int64("bytes_in", x.BytesIn),
		slog.Int64("bytes_out", x.BytesOut),
		slog.Bool("stream", x.Stream),
		slog.Int("attempts", len(x.Attempts)),
		slog.String("remote", c.Request.RemoteAddr),
	)
	if n := len(x.Attempts); n > 0 {
		last := &x.Attempts[n-1]
		attrs = append(attrs, slog.String("endpoint", last.ID))
		if last.Fault != "" {
			attrs = append(attrs, slog.String("fault", last.Fault))
		}
		if x.FirstByte > 0 {
			attrs = append(attrs, slog.Float64("first_byte_ms", millis(x.FirstByte)))
		}
	}
	if x.Caller != "" {
		attrs = append(attrs, slog.String("caller", x.Caller))
	}
	if x.Cache != "" {
		attrs = append(attrs, slog.String("cache", x.Cache), slog.String("cache_why", x.CacheWhy))
	}
	if x.Thread != "" {
		attrs = append(attrs, slog.String("thread", x.Thread))
	}
	if x.Code != "" {
		attrs = append(attrs, slog.String("code", x.Code))
	}
	if x.Usage.Reported || x.Usage.Estimated {
		attrs = append(attrs, slog.Int64("tokens_in", x.Usage.PromptTokens), slog.Int64("tokens_out", x.Usage.CompletionTokens))
	}
	if x.Tenant != "" {
		attrs = append(attrs, slog.String("tenant", x.Tenant))
	}
	if x.Limit != "" {
		attrs = append(attrs, slog.String("limit", x.Limit))
	}
	if x.LimitOver != "" {
		attrs = append(attrs, slog.String("limit_over", x.LimitOver))
	}
	if x.Aborted {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	if x.Cut {
		attrs = append(attrs, slog.Bool("cut", true))
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "request", attrs...)
}

// page runs a handler of the gateway's own pages, and writes its access line.
func (s *Server) page(handle func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		start := s.now()
		defer func() {
			s.logPage(c.Request, c.FullPath(), c.Writer.Header().Get("X-Request-Id"), c.Writer.Status(), start)
		}()
		if err := handle(c); err != nil {
			s.refuse(c, err)
		}
	}
}

// logPage writes the access line of everything that is no inference call.
func (s *Server) logPage(r *http.Request, route, requestID string, status int, start time.Time) {
	s.log.LogAttrs(r.Context(), slog.LevelInfo, "request",
		slog.String("request_id", requestID),
		slog.String("method", shown(r.Method, 20)),
		slog.String("route", route),
		slog.Int("status", status),
		slog.Float64("duration_ms", millis(s.now().Sub(start))),
		slog.String("remote", r.RemoteAddr))
}

func millis(d time.Duration) float64 {
	ms, _ := strconv.ParseFloat(strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 3, 64), 64)
	return ms
}
