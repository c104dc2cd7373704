package gateway

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// Handler returns the whole of the gateway's HTTP surface. Paths are in any
// case, with or without a trailing slash, and begin with
// /api/v1/{env}/apirouter, /api/v1/{env}/aigateway, or neither.
func (s *Server) Handler() http.Handler {
	g := newGin()
	g.Use(s.recovered)

	// Inference. The application is named by the path, or by the body's model.
	g.POST("/lb/:app", s.byPath)
	g.POST("/lb/:app/*operation", s.byPath)                    // LangChain: base path + deployment + operation
	g.POST("/lb/openai/deployments/:app/*operation", s.byPath) // Azure OpenAI SDKs with endpoint={base}/lb
	g.POST("/lb/openai/deployments/:app", s.byPath)
	g.POST("/lb/deployments/:app/*operation", s.byPath) // Microsoft Agent Framework
	g.POST("/lb/openai/v1/*operation", s.byModel)       // OpenAI SDKs
	g.POST("/lb/v1/*operation", s.byModel)
	g.GET("/lb/openai/v1/models", s.page(s.models))
	g.GET("/lb/v1/models", s.page(s.models))

	// What is kept: conversations, cache entries, requests.
	g.GET("/sessions", s.page(s.listThreads)) // ?user=
	g.DELETE("/sessions", s.page(s.eraseThreads))
	g.GET("/sessions/:app", s.page(s.listThreads))
	g.DELETE("/sessions/:app", s.page(s.eraseThreads))
	g.GET("/sessions/:app/:id", s.page(s.showThread))
	g.DELETE("/sessions/:app/:id", s.page(s.endThread))
	g.GET("/cache/:app", s.page(s.cachePage(s.listEntries)))
	g.DELETE("/cache/:app", s.page(s.cachePage(s.purgeEntries)))
	g.GET("/cache/:app/:entry", s.page(s.cachePage(s.showEntry)))
	g.DELETE("/cache/:app/:entry", s.page(s.cachePage(s.deleteEntry)))
	g.GET("/requests/:app/:request", s.page(s.showRequest))
	g.PUT("/requests/:app/:request/:vote", s.page(s.vote)) // up, down

	// What is used, and what may be.
	g.GET("/usage", s.page(s.showUsage)) // ?from&to&by=app,tenant,model,day
	g.GET("/limits/:app", s.page(s.showLimits))
	g.GET("/capacity/:app", s.page(s.showCapacity))

	// What the gateway says of itself.
	g.GET("/instanceinfo", s.page(s.guarded(s.instanceInfo)))
	g.GET("/metrics", s.page(s.guarded(s.showMetrics)))
	g.GET("/healthz", s.page(s.healthz))
	g.GET("/readyz", s.page(s.readyz))
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		g.Handle(method, "/reconfig", s.page(s.reconfig))
		g.Handle(method, "/reconfig/:key", s.page(s.reconfig))
	}

	g.NoRoute(s.page(noRoute))
	g.NoMethod(s.page(noMethod))

	root := "/api/v1/" + strings.ToLower(s.settings.Env) + "/"
	return &edge{Server: s, bases: [2]string{root + "apirouter", root + "aigateway"}, next: g}
}

// noRoute answers for paths that are none.
func noRoute(*gin.Context) error {
	return &refusal{
		http.StatusNotFound, codeNotFound,
		"There is nothing at this path. Applications are called at /lb/{appId}; see also /instanceinfo, /metrics and /healthz.", "",
	}
}

// noMethod answers for methods that a path does not take; gin has set Allow.
func noMethod(c *gin.Context) error {
	allow := c.Writer.Header().Get("Allow")
	if c.Request.Method == http.MethodOptions {
		c.Header("Allow", allow+", OPTIONS")
		c.Status(http.StatusNoContent)
		return nil
	}
	return &refusal{
		http.StatusMethodNotAllowed, codeMethodNotAllowed,
		"This path does not take " + shown(c.Request.Method, 20) + "; it takes " + allow + ".", "",
	}
}
