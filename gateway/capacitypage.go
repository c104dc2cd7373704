package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"aigateway/capacity"
)

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
	units, err := capacity.ParseUnits(c.Query("units"))
	if err != nil {
		return unit, nil, badQuery("units", err.Error())
	}
	return unit, units, nil
}
