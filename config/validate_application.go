package config

import (
	"net/url"
	"strconv"
	"strings"
)

func (a *Application) validate(p *place, types map[string]AppType) {
	if a.AppType == "" {
		p.member("appType").fault("one of azure_oai, openai, azure_search, azure_language, azure_translator, azure_content_safety")
	}
	if a.SearchAIApp != "" {
		// An app whose own type has a fault may yet become one.
		if t, exists := types[a.SearchAIApp]; !exists || t != AzureSearch && t != "" {
			p.member("searchAiApp").fault("the appId of an azure_search application")
		}
	}
	a.CacheSettings.validate(p.member("cacheSettings"))
	if app := a.CacheSettings.EmbeddingApp; app != "" {
		if t, exists := types[app]; !exists || !t.Inference() && t != "" {
			p.member("cacheSettings").member("embeddingApp").fault("the appId of an azure_oai or openai application")
		}
	}
	validateExpiry(a.MemorySettings.EntryExpiry, p.member("memorySettings").member("entryExpiry"))
	a.Timeouts.validate(p.member("timeouts"))

	keepAlive := p.member("sseKeepAlive")
	validateTimeout(a.SSEKeepAlive, keepAlive)
	if d := a.SSEKeepAlive.Duration(); d > 0 && d < leastKeepAlive {
		keepAlive.fault("0, or 1 second or more")
	}
	validateTimeout(a.DrainTimeout, p.member("drainTimeout"))
	a.validateEndpoints(p.member("endpoints"))
}

func (c *CacheSettings) validate(p *place) {
	validateExpiry(c.EntryExpiry, p.member("entryExpiry"))
	if roles := p.member("searchContent").member("includeRoles"); c.SearchContent.IncludeRoles != "" && !validRoles(c.SearchContent.IncludeRoles) {
		roles.fault("a list of system, user, assistant, developer, tool, separated by commas")
	}
	validateTimeout(c.EmbeddingTimeout, p.member("embeddingTimeout"))
	validateTimeout(c.LookupTimeout, p.member("lookupTimeout"))
	if !c.UseCache {
		return
	}
	distance := p.member("searchDistance")
	switch d := c.SearchDistance; {
	case c.SearchType == "CS" && (d < 0 || d > 1):
		distance.fault("a number from 0 to 1: the least cosine similarity accepted")
	case c.SearchType == "LS" && distance.empty():
		distance.fault("a number, 0 or more: the greatest distance accepted, which has no usual value")
	case c.SearchType == "LS" && d < 0:
		distance.fault("a number, 0 or more: the greatest distance accepted")
	case c.SearchType == "IP" && distance.empty():
		distance.fault("a number: the least inner product accepted, which has no usual value")
	}
}

func (a *Application) validateEndpoints(p *place) {
	if len(a.Endpoints) == 0 {
		p.fault("at least one endpoint")
	}
	ids := make(map[string]bool)
	for i := range a.Endpoints {
		e, at := &a.Endpoints[i], p.item(i)
		id, uri, key := at.member("id"), at.member("uri"), at.member("apikey", "apiKey")
		switch {
		case len(e.ID) > maxName || !visible(e.ID):
			id.fault("at most 128 visible ASCII characters")
		case ids[e.ID] && id.empty():
			id.faultSeen("nothing, which is "+strconv.Itoa(i), "an id: another endpoint of the application has taken "+strconv.Itoa(i))
		case ids[e.ID]:
			id.fault("an id that no other endpoint of the application has")
		}
		ids[e.ID] = true

		if want := wantedOfURI(e.URI); want != "" {
			uri.faultSeen(seenURI(uri), want)
		}
		switch {
		case e.APIKey == "" && a.AppType != OpenAI && a.AppType != "":
			key.fault("the service's key, or env:NAME or file:/path that holds it")
		case !headerSafe(e.APIKey.Reveal()):
			key.faultSeen(key.seenSecret(), "a key without control characters and spaces around it")
		}
	}
}

// visible reports whether s is visible ASCII, as a header's value can be
// without quoting.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// wantedOfURI returns what is wrong with an endpoint's address, "" when nothing is.
func wantedOfURI(s string) string {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return "the service's http or https address"
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "" || !validHost(u.Host):
		return "an absolute http or https address with a host"
	case u.User != nil:
		return "an address without user information: the key is apikey"
	case strings.Contains(s, "#"):
		return "an address without a fragment"
	}
	return ""
}

func validHost(host string) bool {
	return host != "" && host[0] != ':' && !strings.ContainsAny(host, " \"<>^`{|}\\") && validPort(host)
}

// seenURI returns what may be shown of an address: neither query nor user
// information, which can hold keys.
func seenURI(p *place) string {
	if p.empty() || p.node.kind != text {
		return p.seen()
	}
	s, query, _ := strings.Cut(p.node.text, "?")
	if strings.Contains(p.node.text, "@") {
		return "an address with @ in it"
	}
	if query != "" {
		s += "?…"
	}
	return quoteShort(s)
}
