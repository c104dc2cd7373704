package otlp

import (
	"fmt"
	"net/url"
	"strings"

	"google.golang.org/grpc/resolver"
)

// address checks the variable that says where a signal goes. For gRPC it
// returns a URL when the variable has none of its own, such as for host:port,
// of which the SDK reads only some; else it is empty, and what the SDK reads
// counts.
//
// OpenTelemetry's specification, "OpenTelemetry Protocol Exporter", wants an
// http or https URL; with gRPC all that its clients take may be set, and
// without a scheme OTEL_EXPORTER_OTLP_INSECURE says whether TLS is left out. Errors
// show nothing of the value, as it may have keys.
func address(lookup Lookup, signal, by string) (string, error) {
	variable, value := lookup.either(signal, "ENDPOINT")
	u, err := url.Parse(value)
	switch {
	case err == nil && (u.Scheme == "http" || u.Scheme == "https"):
		if u.Hostname() != "" {
			return "", nil
		}
	case by == overGRPC && isHost(value):
		if _, insecure := lookup.either(signal, "INSECURE"); strings.EqualFold(insecure, "true") {
			return "http://" + value, nil
		}
		return "https://" + value, nil
	case by == overGRPC && err == nil && resolver.Get(u.Scheme) != nil:
		return "", nil
	}
	if by == overGRPC {
		return "", fmt.Errorf("%s: not an http or https URL with a host, and neither host:port nor another target of gRPC", variable)
	}
	return "", fmt.Errorf("%s: not an http or https URL with a host, which %s needs", variable, overHTTP)
}

// isHost reports whether s is a host, perhaps with a port.
func isHost(s string) bool {
	u, err := url.Parse("//" + s)
	return err == nil && u.Host == s && u.Hostname() != ""
}
