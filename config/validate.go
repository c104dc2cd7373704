package config

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// validate notes what the values of single members cannot show.
func (c *Config) validate(root *place) {
	apps := root.member("applications")
	if len(c.Applications) == 0 {
		apps.fault("at least one application")
	}
	types := make(map[string]AppType, len(c.Applications)) // by id; "" when unknown
	for i := range c.Applications {
		app, p := &c.Applications[i], apps.item(i)
		id := p.member("appId")
		validateAppID(app.AppID, id)
		if _, taken := types[app.AppID]; taken && app.AppID != "" {
			id.fault("an id that no other application has")
		}
		types[app.AppID] = app.AppType
	}
	for i := range c.Applications {
		c.Applications[i].validate(apps.item(i), types)
	}
	validateCallers(c.Callers, root.member("callers"), types)
	given := slices.ContainsFunc(c.Callers, func(caller Caller) bool { return caller.Tenant != "" })
	for i := range c.Applications {
		app := &c.Applications[i]
		app.Tenants.validate(apps.item(i).member("tenants"), app.Endpoints, given)
	}
	c.Persist.validate(root.member("persist"))
	c.validateLimits(root, types)
	c.LimitHeaders.validate(root.member("limitHeaders"))
	c.validatePools(root, types)
	c.validatePrices(root)
	c.Ledger.validate(root.member("ledger"))
	c.JWT.validate(root.member("jwt"))
	c.TenantMetrics.validate(root.member("tenantMetrics"))
	c.Server.validate(root.member("server"))
}

// maxName bounds ids, in characters: they stand in URLs, headers, metric
// labels and rows.
const maxName = 128

func validateAppID(id string, p *place) {
	const unsafe = "/?#%" // would end or change a URL's path
	if id == "" || utf8.RuneCountInString(id) > maxName || strings.ContainsAny(id, unsafe) ||
		strings.ContainsFunc(id, unicode.IsControl) || id == "." || id == ".." {
		p.fault("1 to 128 characters, without control characters and / ? # %, and not . or ..")
	}
}

func validateCallers(callers []Caller, p *place, apps map[string]AppType) {
	ids, keys := make(map[string]bool), make(map[string]bool)
	for i := range callers {
		caller, at := &callers[i], p.item(i)
		id := at.member("id")
		switch {
		case caller.ID == "" || utf8.RuneCountInString(caller.ID) > maxName || strings.ContainsFunc(caller.ID, unicode.IsControl):
			id.fault("1 to 128 characters, without control characters")
		case ids[caller.ID]:
			id.fault("an id that no other caller has")
		}
		ids[caller.ID] = true

		key := at.member("key")
		digest, want := keyDigest(caller.Key)
		if want == "" && keys[digest] {
			want = "a key that no other caller has"
		}
		if want != "" {
			key.faultSeen(key.seenSecret(), want)
		}
		keys[digest] = true

		if caller.Tenant != "" && !ValidTenant(caller.Tenant) {
			at.member("tenant").fault(wantedTenant)
		}

		list := at.member("apps")
		if len(caller.Apps) == 0 {
			list.fault(`at least one appId, or "*" for all`)
		}
		for j, name := range caller.Apps {
			if _, exists := apps[name]; !exists && name != "*" {
				list.item(j).fault(`the appId of an application, or "*"`)
			}
		}
	}
}

// keyDigest returns the hex SHA-256 of a caller's key, or what is wanted of it.
func keyDigest(key Secret) (digest, want string) {
	k := key.Reveal()
	if digest, ok := strings.CutPrefix(k, "sha256:"); ok {
		if sum, err := hex.DecodeString(digest); err != nil || len(sum) != sha256.Size {
			return "", "64 hex digits after sha256:"
		}
		return strings.ToLower(digest), ""
	}
	// A shorter key is guessed; 8 is the least that common password rules allow.
	if utf8.RuneCountInString(k) < 8 || !headerSafe(k) {
		return "", "a key of at least 8 characters without control characters, or sha256: and 64 hex digits"
	}
	return hash([]byte(k)), ""
}

// headerSafe reports whether s can be a header's value.
func headerSafe(s string) bool {
	return !strings.ContainsFunc(s, unicode.IsControl) && strings.TrimSpace(s) == s
}

func (s *Server) validate(p *place) {
	validateTimeout(s.DrainTimeout, p.member("drainTimeout"))
	validateTimeout(s.DrainDelay, p.member("drainDelay"))
	validateTimeout(s.WriteTimeout, p.member("writeTimeout"))
	validateTimeout(s.BodyTimeout, p.member("bodyTimeout"))
	switch cert, key := p.member("tls").member("certFile"), p.member("tls").member("keyFile"); {
	case s.TLS.CertFile == "" && s.TLS.KeyFile != "" && !cert.isBad():
		cert.fault("the certificate's file beside keyFile")
	case s.TLS.CertFile != "" && s.TLS.KeyFile == "" && !key.isBad():
		key.fault("the private key's file beside certFile")
	}
	for i, origin := range s.CORS.AllowedOrigins {
		if !validOrigin(origin) {
			p.member("cors").member("allowedOrigins").item(i).fault(`"*", or scheme://host[:port] where the host may begin with *.`)
		}
	}
}

// validOrigin reports whether s is what browsers send as Origin, or a pattern of it.
func validOrigin(s string) bool {
	if s == "*" {
		return true
	}
	scheme, host, found := strings.Cut(s, "://")
	host = strings.TrimPrefix(host, "*.")
	if !found || host == "" || strings.ContainsAny(host, "*/?#@") {
		return false
	}
	u, err := url.Parse(scheme + "://" + host)
	return err == nil && u.Hostname() != "" && validPort(u.Host)
}

// validPort reports whether host has no port, or one from 1 to 65535.
func validPort(host string) bool {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		port, err := strconv.ParseUint(host[i+1:], 10, 16)
		return err == nil && port > 0
	}
	return true
}

// validateTimeout notes a span that cannot be waited for.
func validateTimeout(v Interval, p *place) {
	switch {
	case v.Months != 0:
		p.fault("days, hours, minutes or seconds: a month has no fixed length")
	case v.Duration() < 0:
		p.fault("an interval that is not negative")
	}
}

// validateExpiry notes an age that nothing can have.
func validateExpiry(v Interval, p *place) {
	if v.Duration() < 0 || v.Duration() == 0 && !p.empty() {
		p.fault("an interval above 0, or none for entries that stay")
	}
}

func (t *Timeouts) validate(p *place) {
	connect, total := p.member("connect"), p.member("total")
	validateTimeout(t.Connect, connect)
	validateTimeout(t.FirstByte, p.member("firstByte"))
	validateTimeout(t.Idle, p.member("idle"))
	validateTimeout(t.Total, total)
	if d := t.Total.Duration(); d > 0 && d < t.Connect.Duration() && !connect.isBad() {
		total.fault("0, or no less than connect (" + t.Connect.String() + ")")
	}
}

// validRoles reports whether s is a list of the roles that messages have.
func validRoles(s string) bool {
	for role := range strings.SplitSeq(s, ",") {
		if !slices.Contains([]string{"system", "user", "assistant", "developer", "tool"}, role) {
			return false
		}
	}
	return true
}

// leastKeepAlive keeps comments from outweighing events.
const leastKeepAlive = time.Second
