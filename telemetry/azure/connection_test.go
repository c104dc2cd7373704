package azure

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestConnectionStringsNameTheEndpoint(t *testing.T) {
	const key = "InstrumentationKey=" + testKey
	for _, c := range []struct{ name, give, want string }{
		{"the key alone", key, "https://dc.services.visualstudio.com/v2.1/track"},
		{"as the portal shows it", key + ";IngestionEndpoint=https://westeurope-5.in.applicationinsights.azure.com/;LiveEndpoint=https://westeurope.livediagnostics.monitor.azure.com/;ApplicationId=11111111-2222-3333-4444-555555555555", "https://westeurope-5.in.applicationinsights.azure.com/v2.1/track"},
		{"an endpoint without a slash", key + ";IngestionEndpoint=https://custom.com:111", "https://custom.com:111/v2.1/track"},
		{"an endpoint with a path", key + ";IngestionEndpoint=https://proxy.example/ai/", "https://proxy.example/ai/v2.1/track"},
		{"a local endpoint", key + ";IngestionEndpoint=http://127.0.0.1:8080/", "http://127.0.0.1:8080/v2.1/track"},
		{"names in any case, spaces, semicolons", " ; INSTRUMENTATIONKEY = " + strings.ToUpper(testKey) + " ;; ingestionendpoint = https://custom.com/ ; ", "https://custom.com/v2.1/track"},
		{"a suffix", key + ";EndpointSuffix=ai.contoso.com;", "https://dc.ai.contoso.com/v2.1/track"},
		{"a suffix with a dot", key + ";EndpointSuffix=.ai.contoso.com", "https://dc.ai.contoso.com/v2.1/track"},
		{"a suffix and a location", key + ";EndpointSuffix=applicationinsights.azure.cn;Location=westus2.", "https://westus2.dc.applicationinsights.azure.cn/v2.1/track"},
		{"a location without suffix does not count", key + ";Location=west us", "https://dc.services.visualstudio.com/v2.1/track"},
		{"an endpoint goes before a suffix", key + ";EndpointSuffix=ai.contoso.com;IngestionEndpoint=https://custom.com/", "https://custom.com/v2.1/track"},
		{"an empty endpoint does not", key + ";EndpointSuffix=ai.contoso.com;IngestionEndpoint=", "https://dc.ai.contoso.com/v2.1/track"},
		{"authorization by the key", "Authorization=IKEY;" + key, "https://dc.services.visualstudio.com/v2.1/track"},
		{"settings that we do not know", key + ";AADAudience=https://monitor.azure.com/;Shiny=yes", "https://dc.services.visualstudio.com/v2.1/track"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseConnection(c.give)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(connection{testKey, c.want}, got, cmp.AllowUnexported(connection{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestBadConnectionStringsAreRefusedAndNotShown(t *testing.T) {
	const key = "InstrumentationKey=" + testKey
	for _, c := range []struct{ name, give, want string }{
		{"empty", "", "it is empty"},
		{"blank", "  ", "it is empty"},
		{"no settings", ";;", "InstrumentationKey is missing"},
		{"no key", "IngestionEndpoint=https://custom.com/", "InstrumentationKey is missing"},
		{"an empty key", "InstrumentationKey=;IngestionEndpoint=https://custom.com/", "InstrumentationKey is missing"},
		{"a key that is none", "InstrumentationKey=0f1e2d3c4b5a69788796a5b4c3d2e1f0secret", "InstrumentationKey is not of the form 00000000-0000-0000-0000-000000000000"},
		{"a key with other digits", "InstrumentationKey=0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1fg", "InstrumentationKey is not of the form 00000000-0000-0000-0000-000000000000"},
		{"a key with more dashes", "InstrumentationKey=0f1e2d3c-4b5a-6978-8796-a5b4c3d2-1f0", "InstrumentationKey is not of the form 00000000-0000-0000-0000-000000000000"},
		{"the key without a name", testKey, "part 1 is not of the form name=value"},
		{"no name", key + ";=" + testKey, "part 2 is not of the form name=value"},
		{"two equals signs", key + ";IngestionEndpoint=https://custom.com/?secret=1", "part 2 is not of the form name=value"},
		{"a setting twice", key + ";instrumentationkey=" + testKey, "part 2 names a setting that an earlier one has"},
		{"another authorization", key + ";Authorization=aad", "Authorization is not ikey"},
		{"an endpoint that is no URL", key + ";IngestionEndpoint=secret", "IngestionEndpoint does not make an http or https URL without user, query and fragment"},
		{"an endpoint of another scheme", key + ";IngestionEndpoint=ftp://secret.com/", "IngestionEndpoint does not make an http or https URL without user, query and fragment"},
		{"an endpoint with a password", key + ";IngestionEndpoint=https://user:secret@custom.com/", "IngestionEndpoint does not make an http or https URL without user, query and fragment"},
		{"an endpoint with a control character", key + ";IngestionEndpoint=https://secret.com/\x7f", "IngestionEndpoint does not make an http or https URL without user, query and fragment"},
		{"an endpoint with an empty query", key + ";IngestionEndpoint=https://secret.com/?", "IngestionEndpoint does not make an http or https URL without user, query and fragment"},
		{"an endpoint with an empty fragment", key + ";IngestionEndpoint=https://secret.com/#", "IngestionEndpoint does not make an http or https URL without user, query and fragment"},
		{"a suffix that is a query", key + ";EndpointSuffix=?", "EndpointSuffix does not make an http or https URL without user, query and fragment"},
		{"a suffix with a path", key + ";EndpointSuffix=contoso.com/secret", "EndpointSuffix does not make an http or https URL without user, query and fragment"},
		{"a location with signs", key + ";EndpointSuffix=contoso.com;Location=secret.com/", "Location is not the name of a region"},
		{"too long", key + ";X=" + strings.Repeat("secret", 1000), "it has more than 4096 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(Options{ConnectionString: c.give})
			if want := "connection string of Application Insights: " + c.want; err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

func TestAnyConnectionStringIsReadOrRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[a-z0-9:/.@?#%-]{0,30}`).Draw(t, "value")
		name := rapid.SampledFrom([]string{"IngestionEndpoint", "EndpointSuffix", "Location", "Authorization", "x"}).Draw(t, "name")
		got, err := parseConnection("InstrumentationKey=" + testKey + ";" + name + "=" + value)
		if err == nil && (got.key != testKey || !strings.HasSuffix(got.track, "/v2.1/track")) {
			t.Fatalf("got %+v", got)
		}
		if err != nil && len(value) > 8 && strings.Contains(err.Error(), value) {
			t.Fatalf("%v shows the value", err)
		}
	})
}
