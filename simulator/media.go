package simulator

import (
	"bytes"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// pixel is a PNG of one transparent pixel, in base64.
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="

// images answers /images/generations.
func (c *call) images() reply {
	if bad, is := c.badJSON(); is {
		return bad
	}
	root := gjson.ParseBytes(c.body)
	prompt, n := root.Get("prompt"), 1
	if prompt.Type != gjson.String || prompt.Str == "" {
		return invalid("prompt", "missing_required_parameter", "Missing required parameter: 'prompt'.")
	}
	if v := root.Get("n"); v.Type != gjson.Null && !readInt(v, 1, 10, &n) {
		return invalid("n", "invalid_value", "Invalid 'n': expected an integer from 1 to 10.")
	}
	if refusal, admitted := c.admit(Tokens(prompt.Str)); !admitted {
		return refusal
	}
	category := filterCategory(prompt.Str)
	if category != "" && c.target.service == serviceAzure {
		return filtered(category)
	}
	b := append([]byte(nil), `{"created":`...)
	b = strconv.AppendInt(b, c.s.now().Unix(), 10)
	b = append(b, `,"data":[`...)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		if c.target.service == serviceAzure {
			b = append(b, `"content_filter_results":`+safeAnswer+`,"prompt_filter_results":`+safePrompt+`,`...)
		}
		if root.Get("response_format").Str == "b64_json" {
			b = append(b, `"b64_json":"`+pixel+`"`...)
		} else {
			b = append(b, `"url":"https://simulated.invalid/image-`...)
			b = strconv.AppendInt(b, int64(i), 10)
			b = append(b, `.png"`...)
		}
		b = append(b, `,"revised_prompt":`...)
		b = gjson.AppendJSONString(b, prompt.Str)
		b = append(b, '}')
	}
	return ok(append(b, "]}"...))
}

// transcription answers /audio/transcriptions, which takes a multipart form with a file.
func (c *call) transcription() reply {
	form, refusal := readForm(c.r.Header.Get("Content-Type"), c.body)
	if refusal != nil {
		return *refusal
	}
	defer form.RemoveAll() //nolint:errcheck // a form held in memory leaves nothing behind
	files := form.File["file"]
	if len(files) != 1 {
		return invalid("file", "missing_required_parameter", "Missing required parameter: 'file'.")
	}
	if refusal, admitted := c.admit(0); !admitted {
		return refusal
	}
	text := c.plan.resize("Simulated transcription of “" + firstWords(files[0].Filename, 12, 160) + "”, " + strconv.FormatInt(files[0].Size, 10) + " bytes.")
	format := ""
	if values := form.Value["response_format"]; len(values) > 0 {
		format = values[0]
	}
	switch format {
	case "text":
		return reply{status: http.StatusOK, kind: kindText, body: []byte(text + "\n")}
	case "srt", "vtt":
		head := ""
		if format == "vtt" {
			head = "WEBVTT\n\n"
		}
		return reply{status: http.StatusOK, kind: kindText, body: []byte(head + "1\n00:00:00,000 --> 00:00:01,000\n" + text + "\n")}
	case "verbose_json":
		b := gjson.AppendJSONString([]byte(`{"task":"transcribe","language":"english","duration":1.0,"text":`), text)
		return ok(append(b, `,"segments":[]}`...))
	case "", "json":
		return ok(append(gjson.AppendJSONString([]byte(`{"text":`), text), '}'))
	}
	return invalid("response_format", "invalid_value", "Invalid 'response_format': expected json, text, srt, verbose_json or vtt.")
}

// readForm reads a multipart form that is already whole in memory.
func readForm(contentType string, body []byte) (*multipart.Form, *reply) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		a := invalid("", "unsupported_content_type", "Unsupported content type. This API method only accepts 'multipart/form-data' requests.")
		return nil, &a
	}
	form, err := multipart.NewReader(bytes.NewReader(body), params["boundary"]).ReadForm(maxBody)
	if err != nil {
		a := invalid("", "", "Could not parse multipart form.")
		return nil, &a
	}
	return form, nil
}

// formValue is a field of a multipart body whose boundary is its first line; "" when there is none.
func formValue(body []byte, name string) string {
	line, _, _ := bytes.Cut(body, []byte("\r\n"))
	boundary, isBoundary := strings.CutPrefix(string(line[:min(len(line), 80)]), "--")
	if !isBoundary || boundary == "" {
		return ""
	}
	for form := multipart.NewReader(bytes.NewReader(body), boundary); ; {
		part, err := form.NextPart()
		if err != nil {
			return ""
		}
		if part.FormName() == name {
			value := make([]byte, 256)
			n, _ := part.Read(value) // a model's name is short; what cannot be read is no name
			return string(value[:n])
		}
	}
}

// speech answers /audio/speech with bytes: the head of an MP3 file and a body that follows from the input.
func (c *call) speech() reply {
	if bad, is := c.badJSON(); is {
		return bad
	}
	input := gjson.GetBytes(c.body, "input")
	if input.Type != gjson.String || input.Str == "" {
		return invalid("input", "missing_required_parameter", "Missing required parameter: 'input'.")
	}
	if refusal, admitted := c.admit(Tokens(input.Str)); !admitted {
		return refusal
	}
	kind := "audio/mpeg"
	switch format := gjson.GetBytes(c.body, "response_format").Str; format {
	case "opus", "aac", "flac", "wav", "pcm":
		kind = "audio/" + format
	}
	size := 4096
	if c.plan.big >= 0 {
		size = c.plan.big
	}
	sound := append(make([]byte, 0, size+16), "ID3\x04\x00\x00\x00\x00\x00\x00\xff\xfb\x90\x64"...)
	for n := hash(input.Str); len(sound) < size; n = mix(n) {
		sound = append(sound, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	}
	return reply{status: http.StatusOK, kind: kind, body: sound}
}

// moderations answers /moderations: what is flagged are the markers of the content filter.
func (c *call) moderations() reply {
	if bad, is := c.badJSON(); is {
		return bad
	}
	texts, refusal := readTexts(gjson.GetBytes(c.body, "input"), "input")
	if refusal != nil {
		return *refusal
	}
	if len(texts) == 0 {
		return invalid("input", "missing_required_parameter", "Missing required parameter: 'input'.")
	}
	if refusal, admitted := c.admit(0); !admitted {
		return refusal
	}
	b := c.appendID([]byte(`{"id":"`), "modr-")
	b = append(b, `","model":`...)
	b = gjson.AppendJSONString(b, c.model("omni-moderation-latest"))
	b = append(b, `,"results":[`...)
	for i, text := range texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendModeration(b, filterCategory(text.text))
	}
	return ok(append(b, "]}"...))
}

func appendModeration(b []byte, category string) []byte {
	category = strings.ReplaceAll(category, "_", "-") // self-harm, as OpenAI spells it
	categories, scores := []byte(nil), []byte(nil)
	for i, name := range [...]string{"harassment", "hate", "self-harm", "sexual", "violence"} {
		if i > 0 {
			categories, scores = append(categories, ','), append(scores, ',')
		}
		hit := name == category
		categories = strconv.AppendBool(append(categories, `"`+name+`":`...), hit)
		score := "0.0001"
		if hit {
			score = "0.97"
		}
		scores = append(scores, `"`+name+`":`+score...)
	}
	b = strconv.AppendBool(append(b, `{"flagged":`...), category != "")
	b = append(append(b, `,"categories":{`...), categories...)
	b = append(append(b, `},"category_scores":{`...), scores...)
	return append(b, "}}"...)
}

// models answers GET /models with the deployments known by now.
func (c *call) models() reply {
	c.s.mu.Lock()
	names := make([]string, 0, len(c.s.deployments))
	for name := range c.s.deployments {
		if name != c.target.deployment {
			names = append(names, name)
		}
	}
	c.s.mu.Unlock()
	slices.Sort(names)
	b := append([]byte(nil), `{"object":"list","data":[`...)
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = gjson.AppendJSONString(append(b, `{"id":`...), name)
		b = append(b, `,"object":"model","created":1721172741,"owned_by":"simulator"}`...)
	}
	return ok(append(b, "]}"...))
}
