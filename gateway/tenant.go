package gateway

import (
	"net/http"

	"aigateway/auth"
)

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
