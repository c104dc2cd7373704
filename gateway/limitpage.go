package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"aigateway/limit"
	"aigateway/openai"
)

// showLimits tells a caller which limits apply to its requests now, and what
// is left of them. The query may name the user and the model of such a request.
func (s *Server) showLimits(c *gin.Context) error {
	v, err := s.visitor(c)
	if err != nil {
		return err
	}
	ask := limit.Ask{
		Caller: v.caller, Tenant: v.tenant, User: c.Query("user"),
		Model: v.app.asks(&openai.Request{Model: c.Query("model")}),
	}
	if v.admin { // who asks on somebody's behalf
		ask.Caller, ask.Tenant = c.Query("caller"), c.Query("tenant")
	}
	standings := []shownLimit{}
	for _, st := range v.app.limits.Standings(c.Request.Context(), ask) {
		standings = append(standings, shownLimitOf(&st))
	}
	c.JSON(http.StatusOK, gin.H{
		"applicationId": v.app.AppID, "caller": ask.Caller, "tenant": ask.Tenant, "user": ask.User, "model": ask.Model,
		"date": s.now().UTC().Format(time.RFC3339), "limits": standings,
	})
	return nil
}

// shownLimit is how one amount of a limit stands. Money is in the currency of
// the prices.
type shownLimit struct {
	Limit     string      `json:"limit"`
	Amount    string      `json:"amount"`
	Per       string      `json:"per,omitempty"`
	Mode      string      `json:"mode"`
	Allowed   json.Number `json:"allowed"`
	Used      json.Number `json:"used"`
	Remaining json.Number `json:"remaining"`
	// Share is the replica's part of allowed, while replicas cannot count
	// together.
	Share  json.Number `json:"share,omitempty"`
	Resets *time.Time  `json:"resets,omitempty"`
	Shared bool        `json:"shared"`
}

func shownLimitOf(st *limit.Standing) shownLimit {
	number := func(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }
	if strings.HasPrefix(st.Amount, "cost") {
		number = money
	}
	shown := shownLimit{
		Limit: st.Limit, Amount: st.Amount, Per: st.Per, Mode: st.Mode, Shared: st.Shared,
		Allowed: number(st.Allowed), Used: number(st.Used), Remaining: number(st.Remaining),
	}
	if st.Share != st.Allowed {
		shown.Share = number(st.Share)
	}
	if !st.Resets.IsZero() {
		resets := st.Resets.UTC()
		shown.Resets = &resets
	}
	return shown
}
