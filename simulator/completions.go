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
		q.prompts = []input{{}} // as OpenAI: no prompt is the beginning of a document
	}
	model := c.model("gpt-3.5-turbo-instruct")
	n := c.counter(model)
	promptTokens, answerTokens, size, category := 0, 0, 0, ""
	choices := make([]choice, 0, min(len(q.prompts)*q.n, maxPrompts))
	for _, prompt := range q.prompts {
		text, finish := n.limited(c.answerText(model, prompt.text, 1), q.limit)
		if size += q.n * len(text); size > maxChoices && len(q.prompts)*q.n > 1 {
			return tooManyChoices()
		}
		for range q.n {
			choices = append(choices, choice{text: text, finish: finish})
		}
		promptTokens += n.input(prompt)
		answerTokens += q.n * n.tokens(text)
		if category == "" {
			category = filterCategory(prompt.text)
		}
	}
	if refusal, admitted := c.admit(promptTokens + max(answerTokens, q.limit*len(choices))); !admitted {
		return refusal
	}
	if category != "" && c.target.service == serviceAzure {
		return filtered(category)
	}
	owed := &bill{counter: n, used: c.plan.used(promptTokens, answerTokens)}
	for _, one := range choices {
		owed.spoken = append(owed.spoken, one.text)
	}
	if c.plan.noChoices {
		choices = nil
	}
	if q.stream {
		return c.completionsStream(choices, owed, q.usage && !c.plan.noUsage)
	}
	return c.completionsWhole(choices, owed, len(q.prompts))
}

// readTexts reads a string, a list of strings, a list of tokens, or a list of those. Tokens read as words "t<number>".
func readTexts(v gjson.Result, param string) (texts []input, refusal *reply) {
	bad := false
	switch {
	case v.Type == gjson.String:
		return []input{{text: v.Str}}, nil
	case v.Type == gjson.Null:
		return nil, nil
	case !v.IsArray():
		bad = true
	case v.Get("0").Type == gjson.Number:
		words, isTokens := tokenWords(v)
		texts, bad = []input{words}, !isTokens
	default:
		v.ForEach(func(_, item gjson.Result) bool {
			words, isTokens := input{text: item.Str}, true
			if item.Type != gjson.String {
				words, isTokens = tokenWords(item)
			}
			texts, bad = append(texts, words), !isTokens
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
func tokenWords(v gjson.Result) (words input, isTokens bool) {
	isTokens = v.IsArray()
	var b strings.Builder
	v.ForEach(func(_, n gjson.Result) bool {
		var number int
		isTokens = isTokens && readInt(n, 0, 1<<31-1, &number)
		b.WriteString(" t")
		b.WriteString(strconv.Itoa(number))
		words.tokens++
		return isTokens
	})
	words.text = strings.TrimPrefix(b.String(), " ")
	return words, isTokens
}

func (c *call) completionsWhole(choices []choice, owed *bill, prompts int) reply {
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
	b = c.appendAnswerHead(b, "cmpl-", "text_completion", owed.model)
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
	b = append(b, ","+fingerprint...)
	b = c.plan.appendUsage(b, owed.used)
	return ok(append(b, '}')).owing(owed)
}

func (c *call) completionsStream(choices []choice, owed *bill, withUsage bool) reply {
	f := c.newFrame("cmpl-", "text_completion", owed.model, withUsage)
	if f.azure {
		f.promptFilter()
	}
	for i, one := range choices {
		for text := one.text; text != ""; {
			n := nextPiece(text)
			f.begin(safeAnswer)
			f.body = append(f.body, `"text":`...)
			f.body = gjson.AppendJSONString(f.body, text[:n])
			f.said += n
			f.end(i, "", eventContent)
			text = text[n:]
		}
		f.begin("{}")
		f.body = append(f.body, `"text":""`...)
		f.end(i, one.finish, eventFinish)
	}
	return c.finishStream(f, owed, withUsage)
}
