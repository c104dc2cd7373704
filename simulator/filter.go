package simulator

import "net/http"

// What Azure's content filter says of text it lets pass: of answers, and of prompts, which are searched for jailbreaks too.
const (
	safeAnswer = `{"hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"},` +
		`"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}`
	safePrompt = `{"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"filtered":false,"detected":false},` +
		`"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}`
	promptFilter = `"prompt_filter_results":[{"prompt_index":0,"content_filter_results":` + safePrompt + `}]`
)

// filtered is the 400 of a prompt that set off the filter. Shape: Azure OpenAI, "content filtering", prompt blocked.
func filtered(category string) reply {
	b := append([]byte(nil), `{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy. `+
		`Please modify your prompt and retry. To learn more about our content filtering policies please read our documentation: `+
		`https://go.microsoft.com/fwlink/?linkid=2198766","type":null,"param":"prompt","code":"content_filter","status":400,`+
		`"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{`...)
	for i, name := range [...]string{"hate", "jailbreak", "self_harm", "sexual", "violence"} {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, name...)
		switch {
		case name == category:
			b = append(b, `":{"filtered":true,"severity":"medium"}`...)
		case name == "jailbreak":
			b = append(b, `":{"filtered":false,"detected":false}`...)
		default:
			b = append(b, `":{"filtered":false,"severity":"safe"}`...)
		}
	}
	b = append(b, "}}}}"...)
	return reply{status: http.StatusBadRequest, kind: kindJSON, body: b, failed: true}
}
