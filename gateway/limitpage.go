package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"aigateway/capacity"
	"aigateway/limit"
)

// showLimits tells a caller which limits apply to its requests now, and what
// is left of them. The query may name the user and the model of such a request.
func (s *Server) showLimits(c *gin.Context) error {
	v, err := s.visitor(c)
	if err != nil {
		return err
	}
	model := c.Query("model")
	if model == "" {
		model = v.app.modelName
	}
	ask := limit.Ask{Caller: v.caller, Tenant: v.tenant, User: c.Query("user"), Model: model}
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

// showCapacity tells the admin what throughput an application's traffic takes.
func (s *Server) showCapacity(c *gin.Context) error {
	if err := s.adminOnly(c); err != nil {
		return err
	}
	if s.ledger == nil {
		return noLedger()
	}
	id := c.Param("app")
	if app := s.live.Load().App(id); app != nil {
		id = app.AppID
	}
	query := c.Request.URL.Query()
	now := s.now().UTC()
	to, err := readTime(query, "to", now)
	if err != nil {
		return err
	}
	from, err := readTime(query, "from", to.AddDate(0, 0, -7))
	if err != nil {
		return err
	}
	if !from.Before(to) || to.Sub(from) > MostCapacity {
		return badQuery("from", "from must be before to, by at most 92 days.")
	}
	unit, units, err := readUnits(c)
	if err != nil {
		return err
	}
	minutes, err := s.ledger.Minutes(c.Request.Context(), id, from, to)
	if err != nil {
		return &storeError{err}
	}
	report := capacity.Plan(id, minutes, from, to, unit, units)
	if c.Query("format") == "text" || c.Query("format") == "" && strings.HasPrefix(c.GetHeader("Accept"), "text/plain") {
		c.Header("Content-Type", "text/plain; charset=utf-8")
		return report.Write(c.Writer, 120)
	}
	c.JSON(http.StatusOK, report)
	return nil
}

// MostCapacity is the longest time that capacity is told of.
const MostCapacity = 92 * 24 * time.Hour

// readUnits reads unitTokens, outputWeight and units of a query.
func readUnits(c *gin.Context) (capacity.Unit, []int, error) {
	unit := capacity.DefaultUnit()
	for _, one := range []struct {
		name string
		to   *float64
	}{{"unitTokens", &unit.TokensPerMinute}, {"outputWeight", &unit.OutputWeight}} {
		text := c.Query(one.name)
		if text == "" {
			continue
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !(n > 0 && n <= 1e9) {
			return unit, nil, badQuery(one.name, one.name+" must be a number above 0.")
		}
		*one.to = n
	}
	var units []int
	if text := c.Query("units"); text != "" {
		for part := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(part))
			if err != nil || n < 0 || n > capacity.MostUnits || len(units) >= 100 {
				return unit, nil, badQuery("units", "units must be whole numbers separated by commas, at most 100 of them.")
			}
			units = append(units, n)
		}
	}
	return unit, units, nil
}
