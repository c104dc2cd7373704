package gateway

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"aigateway/auth"
)

// oneOf reads a member of the URL's query that may be there once, or several
// times alike; else it returns what no tenant can be called.
func oneOf(c *gin.Context) func(name string) string {
	return func(name string) string {
		values := c.QueryArray(name)
		for _, v := range values {
			if v != values[0] {
				return "\x00"
			}
		}
		return c.Query(name)
	}
}

// judgeTenant answers for a request whose tenant is not to be told, or not to
// be believed.
func judgeTenant(e *auth.TenantError) outcome {
	switch e.Kind {
	case auth.BadToken:
		return ours(http.StatusUnauthorized, codeUnauthorized, e.Message, 0)
	case auth.OtherTenant:
		return ours(http.StatusForbidden, codeForbidden, e.Message, 0)
	}
	return ours(http.StatusBadRequest, codeInvalidPayload, e.Message, 0)
}
