package config

import (
	"strconv"
	"strings"
)

// fill sets what has no value in the file and whose default depends on its
// surroundings, and brings what can be written in several ways to one.
func (c *Config) fill(root *place) {
	for i := range c.Applications {
		c.Applications[i].fill(root.member("applications").item(i))
	}
	for i := range c.Prices {
		if root.member("prices").item(i).member("cachedInput").empty() {
			c.Prices[i].CachedInput = c.Prices[i].Input
		}
	}
	for i := range c.Server.CORS.AllowedOrigins {
		c.Server.CORS.AllowedOrigins[i] = strings.ToLower(c.Server.CORS.AllowedOrigins[i])
	}
}

func (a *Application) fill(p *place) {
	cache := &a.CacheSettings
	switch cache.SearchType {
	case "Cosine":
		cache.SearchType = "CS"
	case "L2", "Euclid":
		cache.SearchType = "LS"
	}
	if cache.SearchType == "CS" && p.member("cacheSettings").member("searchDistance").empty() {
		cache.SearchDistance = 0.95 // see SearchDistance
	}
	roles := strings.Split(cache.SearchContent.IncludeRoles, ",")
	for i := range roles {
		roles[i] = strings.TrimSpace(roles[i])
	}
	cache.SearchContent.IncludeRoles = strings.Join(roles, ",")

	if len(a.Tenants.Pins) > 0 && p.member("strategy").empty() {
		a.Strategy = "roundRobin" // see Tenants.Pins
	}
	for i := range a.Endpoints {
		e, at := &a.Endpoints[i], p.member("endpoints").item(i)
		if at.member("id").empty() {
			e.ID = strconv.Itoa(i)
		}
		if at.member("priority").empty() && a.Strategy == "priority" {
			e.Priority = i
		}
	}
}
