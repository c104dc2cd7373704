package simulator

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// maxPrompts is how many prompts or inputs one request may have, as on Azure.
const maxPrompts = 2048

// completions answers /completions: n choices for each prompt. Unlike the real service it does not cut answers at 16
// tokens when max_tokens is missing.
func (c *call) completions() reply {
	q, refusal := c.readRequest()
	if refusal == nil {
		q.prompts, refusal = readTexts(gjson.GetBytes(c.body, "prompt"), "prompt")
	}
	if refusal != nil {
		return *refusal
	}
	if len(q.prompts) == 0 {
		q.prompts = []string{""} // as OpenAI: no prompt is the beginning of a document
	}
	model := c.model("gpt-3.5-turbo-instruct")
	var used usage
	size, category := 0, ""
	choices := make([]choice, 0, min(len(q.prompts)*q.n, maxPrompts))
	for _, prompt := range q.prompts {
		text, finish := limited(c.answerText(model, prompt, 1), q.limit)
		if size += q.n * len(text); size > maxChoices && len(q.prompts)*q.n > 1 {
			return tooManyChoices()
		}
		for range q.n {
			choices = append(choices, choice{text: text, finish: finish})
		}
		used.prompt += Tokens(prompt)
		used.completion += q.n * Tokens(text)
		if category == "" {
			category = filterCategory(prompt)
		}
	}
	if refusal, admitted := c.admit(used.prompt + max(used.completion, q.limit*len(choices))); !admitted {
		return refusal
	}
	if category != "" && c.target.service == serviceAzure {
		return filtered(category)
	}
	if c.plan.noChoices {
		choices = nil
	}
	if q.stream {
		return c.completionsStream(choices, model, used, q.usage)
	}
	return c.completionsWhole(choices, model, used, len(q.prompts))
}

// readTexts reads a string, a list of strings, a list of tokens, or a list of those. Tokens read as words "t<number>".
func readTexts(v gjson.Result, param string) (texts []string, refusal *reply) {
	bad := false
	switch {
	case v.Type == gjson.String:
		return []string{v.Str}, nil
	case v.Type == gjson.Null:
		return nil, nil
	case !v.IsArray():
		bad = true
	case v.Get("0").Type == gjson.Number:
		text, isTokens := tokenWords(v)
		texts, bad = []string{text}, !isTokens
	default:
		v.ForEach(func(_, item gjson.Result) bool {
			text, isTokens := item.Str, true
			if item.Type != gjson.String {
				text, isTokens = tokenWords(item)
			}
			texts, bad = append(texts, text), !isTokens
			return !bad && len(texts) <= maxPrompts
		})
	}
	if bad || len(texts) > maxPrompts {
		a := invalid(param, "invalid_type", "Invalid type for '"+param+"': expected a string, an array of strings, or an array of tokens; at most 2048 of them.")
		return nil, &a
	}
	return texts, nil
}

// tokenWords spells a list of token numbers as words; false when v is none.
func tokenWords(v gjson.Result) (string, bool) {
	isTokens := v.IsArray()
	var b strings.Builder
	v.ForEach(func(_, n gjson.Result) bool {
		var number int
		isTokens = isTokens && readInt(n, 0, 1<<31-1, &number)
		b.WriteString(" t")
		b.WriteString(strconv.Itoa(number))
		return isTokens
	})
	return strings.TrimPrefix(b.String(), " "), isTokens
}

func (c *call) completionsWhole(choices []choice, model string, used usage, prompts int) reply {
	azure := c.target.service == serviceAzure
	b := append([]byte(nil), `{"choices":[`...)
	for i, one := range choices {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		if azure {
			b = append(b, `"content_filter_results":`+safeAnswer+`,`...)
		}
		b = append(b, `"finish_reason":`...)
		b = c.appendFinish(b, one.finish)
		b = append(b, `,"index":`...)
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, `,"logprobs":null,"text":`...)
		b = gjson.AppendJSONString(b, one.text)
		b = append(b, '}')
	}
	b = append(b, "],"...)
	b = c.appendAnswerHead(b, "cmpl-", "text_completion", model)
	if azure {
		b = append(b, `,"prompt_filter_results":[`...)
		for i := range prompts {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"prompt_index":`...)
			b = strconv.AppendInt(b, int64(i), 10)
			b = append(b, `,"content_filter_results":`+safePrompt+`}`...)
		}
		b = append(b, ']')
	}
	b = append(b, ","+fingerprint+","...)
	b = used.append(b)
	return ok(append(b, '}'))
}

func (c *call) completionsStream(choices []choice, model string, used usage, withUsage bool) reply {
	f := c.newFrame("cmpl-", "text_completion", model, withUsage)
	if f.azure {
		f.promptFilter()
	}
	for i, one := range choices {
		for text := one.text; text != ""; {
			n := nextPiece(text)
			f.begin(safeAnswer)
			f.body = append(f.body, `"text":`...)
			f.body = gjson.AppendJSONString(f.body, text[:n])
			f.end(i, "", eventContent)
			text = text[n:]
		}
		f.begin("{}")
		f.body = append(f.body, `"text":""`...)
		f.end(i, one.finish, eventFinish)
	}
	return f.finishStream(used, withUsage)
}
