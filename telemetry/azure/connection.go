package azure

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

const (
	// connectionMost is the length of a connection string, by Microsoft's
	// documentation.
	connectionMost = 4096
	// classic is the ingestion endpoint of those that name none.
	classic = "https://dc.services.visualstudio.com/"
	// trackPath is that of the protocol's version 2.1.
	trackPath = "v2.1/track"
)

// connection is what a connection string says.
type connection struct {
	key   string // instrumentation key, in lower case
	track string // URL to post to
}

// parseConnection reads InstrumentationKey=…;IngestionEndpoint=…;… by the rules
// of "Connection strings in Application Insights" and of the .NET SDK: names in
// any case, each once, what is not known is ignored, an explicit endpoint goes
// before EndpointSuffix, and Location counts with EndpointSuffix only.
func parseConnection(s string) (connection, error) {
	settings, err := splitConnection(s)
	if err != nil {
		return connection{}, err
	}
	key := strings.ToLower(settings["instrumentationkey"])
	switch {
	case key == "":
		return connection{}, errors.New("InstrumentationKey is missing")
	case !isGUID(key):
		return connection{}, errors.New("InstrumentationKey is not of the form 00000000-0000-0000-0000-000000000000")
	}
	if by := settings["authorization"]; by != "" && !strings.EqualFold(by, "ikey") {
		return connection{}, errors.New("Authorization is not ikey")
	}
	name, endpoint := "IngestionEndpoint", settings["ingestionendpoint"]
	if suffix := strings.TrimLeft(settings["endpointsuffix"], "."); endpoint == "" && suffix != "" {
		location := strings.TrimRight(settings["location"], ".")
		if !isLabel(location) {
			return connection{}, errors.New("Location is not the name of a region")
		}
		if location != "" {
			location += "."
		}
		name, endpoint = "EndpointSuffix", "https://"+location+"dc."+suffix
	}
	if endpoint == "" {
		endpoint = classic
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || strings.ContainsAny(endpoint, "?#") ||
		name == "EndpointSuffix" && u.Path != "" {
		return connection{}, fmt.Errorf("%s does not make an http or https URL without user, query and fragment", name)
	}
	return connection{key, u.JoinPath(trackPath).String()}, nil
}

// splitConnection returns the settings by their names in lower case.
func splitConnection(s string) (map[string]string, error) {
	if strings.TrimSpace(s) == "" {
		return nil, errors.New("it is empty")
	}
	if len(s) > connectionMost {
		return nil, fmt.Errorf("it has more than %d bytes", connectionMost)
	}
	settings := map[string]string{}
	for i, pair := range strings.Split(s, ";") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		if name = strings.ToLower(strings.TrimSpace(name)); !ok || name == "" || strings.Contains(value, "=") {
			return nil, fmt.Errorf("part %d is not of the form name=value", i+1)
		}
		if _, twice := settings[name]; twice {
			return nil, fmt.Errorf("part %d names a setting that an earlier one has", i+1)
		}
		settings[name] = strings.TrimSpace(value)
	}
	return settings, nil
}

// isGUID reports the form 8-4-4-4-12 of hexadecimal digits.
func isGUID(s string) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	_, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	return err == nil && strings.Count(s, "-") == 4
}

// isLabel reports that s has letters and digits only.
func isLabel(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
