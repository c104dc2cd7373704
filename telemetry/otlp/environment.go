package otlp

import (
	"cmp"
	"fmt"
	"strings"
)

// Lookup returns a variable of the environment.
type Lookup func(name string) (value string, ok bool)

func (l Lookup) value(name string) string {
	v, _ := l(name)
	return strings.TrimSpace(v)
}

// either reads a variable of the exporter: that of a signal, else that of all.
// It returns the name of the one that counts too.
func (l Lookup) either(signal, setting string) (name, value string) {
	name = "OTEL_EXPORTER_OTLP_" + signal + "_" + setting
	if v := l.value(name); v != "" {
		return name, v
	}
	name = "OTEL_EXPORTER_OTLP_" + setting
	return name, l.value(name)
}

// The signals, as their variables name them.
const (
	signalTraces  = "TRACES"
	signalMetrics = "METRICS"
)

// Wanted reports whether the environment asks for an export: it names a
// collector, and neither OTEL_SDK_DISABLED nor the choice of exporters says
// otherwise.
//
// The variables are those of OpenTelemetry's specification, "OpenTelemetry
// Protocol Exporter" and "Environment Variable Specification".
func Wanted(lookup Lookup) bool {
	return wants(lookup, signalTraces) || wants(lookup, signalMetrics)
}

func wants(lookup Lookup, signal string) bool {
	if strings.EqualFold(lookup.value("OTEL_SDK_DISABLED"), "true") || strings.EqualFold(lookup.value("OTEL_"+signal+"_EXPORTER"), "none") {
		return false
	}
	_, endpoint := lookup.either(signal, "ENDPOINT")
	return endpoint != ""
}

// The transports.
const (
	overHTTP = "http/protobuf"
	overGRPC = "grpc"
)

// transport reads how a signal is exported.
func transport(lookup Lookup, signal string) (string, error) {
	exporter := "OTEL_" + signal + "_EXPORTER"
	if v := lookup.value(exporter); v != "" && v != "otlp" {
		return "", fmt.Errorf("%s: %q is not one of otlp, none", exporter, v)
	}
	variable, v := lookup.either(signal, "PROTOCOL")
	switch v = cmp.Or(v, overHTTP); v {
	case overHTTP, overGRPC:
		return v, nil
	default:
		return "", fmt.Errorf("%s: %q is not one of %s, %s", variable, v, overGRPC, overHTTP)
	}
}
