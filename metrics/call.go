package metrics

// maxNamed is the most names that namedCalls returns.
const maxNamed = 8

// inference reports whether an application of the type is counted in tokens.
func inference(appType string) bool { return appType == "azure_oai" || appType == "openai" }

// namedCalls returns the names under which the calls of a type are counted,
// each a member of the JSON form, in its order: those of the gateway's
// predecessor. None for types that do not tell their calls apart.
func namedCalls(appType string) []string {
	switch appType {
	case "azure_search":
		return []string{
			"keywordApiCalls", "vectorApiCalls", "hybridApiCalls",
			"keywordSemanticApiCalls", "hybridSemanticApiCalls", "intVectorApiCalls",
			"intKeywordVectorApiCalls", "intKeywordVectorSemanticApiCalls",
		}
	case "azure_language":
		return []string{
			"languageDetectionApiCalls", "namedEntityRecognitionApiCalls", "keyPhraseExtractionApiCalls",
			"entityLinkingApiCalls", "sentimentAnalysisApiCalls", "piiEntityRecognitionApiCalls",
		}
	case "azure_translator":
		return []string{
			"languageApiCalls", "translateApiCalls", "transliterateApiCalls",
			"detectApiCalls", "breakSentenceApiCalls", "dictionaryApiCalls",
		}
	case "azure_content_safety":
		return []string{"textApiCalls", "imageApiCalls"}
	}
	return nil
}
