package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"aigateway/auth"
	"aigateway/memory"
)

// visitor is who asks for what the gateway keeps of an application.
type visitor struct {
	app            *App
	caller, tenant string
	admin          bool // presented the gateway's key
	anonymous      bool // nobody is asked who they are
}

// visitor finds out who asks: the admin, or a caller who may use the
// application.
func (s *Server) visitor(c *gin.Context) (*visitor, error) {
	snap := s.live.Load()
	v := &visitor{
		app: snap.App(c.Param("app")), anonymous: len(snap.Config.Callers) == 0,
		admin: auth.Admin(s.settings.Key, auth.Key(c.Request.Header)),
	}
	if !v.admin {
		caller, ok := snap.callers.Identify(c.Request.Header)
		if !ok {
			return nil, &refusal{
				http.StatusUnauthorized, codeUnauthorized,
				"This page needs a key: a caller's for what is theirs, or the gateway's. Send it as api-key, or as Authorization: Bearer.", "",
			}
		}
		v.caller, v.tenant = caller.ID, caller.Tenant
		if v.app != nil {
			var err error
			if v.tenant, err = v.app.tenancy.Tenant(c.Request.Header, oneOf(c), caller); err != nil {
				return nil, err
			}
		}
		if v.app != nil && !caller.May(v.app.AppID) {
			return nil, &refusal{http.StatusForbidden, codeForbidden, "This key may not use AI application " + v.app.AppID + ".", ""}
		}
	}
	if v.app == nil {
		return nil, &refusal{http.StatusNotFound, codeNotFound, "No AI application has this id.", ""}
	}
	return v, nil
}

// adminOnly asks for the gateway's key.
func (s *Server) adminOnly(c *gin.Context) error {
	if auth.Admin(s.settings.Key, auth.Key(c.Request.Header)) {
		return nil
	}
	return &refusal{
		http.StatusUnauthorized, codeUnauthorized,
		"This page needs the gateway's key (API_GATEWAY_KEY): send it as Authorization: Bearer.", "",
	}
}

// queryInt reads a whole number of the query.
func queryInt(c *gin.Context, name string, absent, least, most int) (int, error) {
	text := c.Query(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, &refusal{
			http.StatusBadRequest, codeInvalidPayload,
			name + " must be a whole number from " + strconv.Itoa(least) + " to " + strconv.Itoa(most) + ".", name,
		}
	}
	return n, nil
}

// shownThread is a conversation as its page shows it.
type shownThread struct {
	ID           string             `json:"threadId"`
	App          string             `json:"applicationId"`
	Caller       string             `json:"caller,omitempty"`
	Tenant       string             `json:"tenant,omitempty"`
	User         string             `json:"user,omitempty"`
	Endpoint     string             `json:"endpoint,omitempty"`
	Created      time.Time          `json:"created"`
	Used         time.Time          `json:"lastUsed"`
	Interactions []shownInteraction `json:"interactions,omitempty"`
}

type shownInteraction struct {
	Number   int   `json:"number"`
	Messages []any `json:"messages"`
}

func threadPage(r *memory.Record) shownThread {
	page := shownThread{
		ID: r.ID, App: r.App, Caller: r.Caller, Tenant: r.Tenant, User: r.User, Endpoint: r.Endpoint,
		Created: r.Created.UTC(), Used: r.Used.UTC(),
	}
	for _, i := range r.Interactions {
		shown := shownInteraction{Number: i.Number}
		for _, m := range i.Messages {
			shown.Messages = append(shown.Messages, m)
		}
		page.Interactions = append(page.Interactions, shown)
	}
	return page
}
