package simulator

import (
	"math"
	"mime"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// maxTools is how many tools a request may have, as on Azure.
const maxTools = 128

// chatRequest is what the simulator reads of a chat or completions request.
type chatRequest struct {
	messages      messages
	prompts       []input // of completions
	stream, usage bool
	n, limit      int // choices; tokens of each, 0 for no limit
	jsonAnswer    bool
	tools         []gjson.Result // the members "function" of tools
	forced        string         // the function that tool_choice names
	toolChoice    string         // none, auto, required, or function
	documents     gjson.Result   // data_sources
}

// messages is a chat's list, read.
type messages struct {
	count    int
	tokens   int
	question string // text of the last user message
	lastRole string
	filter   string // category of the content filter that some message sets off
}

func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// readRequest reads the members that chat and completions share, and checks them as the services do.
func (c *call) readRequest() (q chatRequest, refusal *reply) {
	refuse := func(param, code, message string) *reply {
		a := invalid(param, code, message)
		return &a
	}
	if bad, is := c.badJSON(); is {
		return q, &bad
	}
	q.n, q.toolChoice = 1, "auto"
	streamOptions := false
	// As most servers do, the last of two equal members counts.
	gjson.ParseBytes(c.body).ForEach(func(key, v gjson.Result) bool {
		if v.Type == gjson.Null {
			return true
		}
		switch key.Str {
		case "stream":
			q.stream = v.Bool()
			if !v.IsBool() {
				refusal = refuse("stream", "invalid_type", "Invalid type for 'stream': expected a boolean.")
			}
		case "stream_options":
			streamOptions, q.usage = true, v.Get("include_usage").Bool()
		case "n":
			if !readInt(v, 1, 128, &q.n) {
				refusal = refuse("n", "invalid_value", "Invalid 'n': expected an integer from 1 to 128.")
			}
		case "max_tokens", "max_completion_tokens":
			if !readInt(v, 1, math.MaxInt32, &q.limit) {
				refusal = refuse(key.Str, "integer_below_min_value", "Invalid '"+key.Str+"': integer below minimum value. Expected a value >= 1.")
			}
		case "temperature", "top_p":
			if v.Type != gjson.Number || v.Num < 0 || v.Num > 2 {
				refusal = refuse(key.Str, "invalid_value", "Invalid '"+key.Str+"': expected a number from 0 to 2.")
			}
		case "response_format":
			kind := v.Get("type").String()
			q.jsonAnswer = kind == "json_object" || kind == "json_schema"
		case "tools":
			refusal = q.readTools(v)
		case "tool_choice":
			q.toolChoice, q.forced = v.String(), ""
			if v.IsObject() {
				q.toolChoice, q.forced = "function", v.Get("function.name").String()
			}
		case "data_sources":
			q.documents = v
		}
		return refusal == nil
	})
	if refusal == nil && streamOptions && !q.stream {
		refusal = refuse("stream_options", "", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
	}
	return q, refusal
}

func (q *chatRequest) readTools(v gjson.Result) *reply {
	q.tools = q.tools[:0]
	bad := !v.IsArray()
	v.ForEach(func(_, tool gjson.Result) bool {
		f := tool.Get("function")
		bad = bad || f.Get("name").String() == ""
		q.tools = append(q.tools, f)
		return !bad && len(q.tools) <= maxTools
	})
	if len(q.tools) > maxTools {
		a := invalid("tools", "array_above_max_length", "Invalid 'tools': array too long. Expected an array with maximum length 128.")
		return &a
	}
	if bad {
		a := invalid("tools[0].function.name", "missing_required_parameter", "Missing required parameter: 'tools[0].function.name'.")
		return &a
	}
	return nil
}

// readInt reads a whole number in a range; false when v is none.
func readInt(v gjson.Result, least, most int, to *int) bool {
	if v.Type != gjson.Number || v.Num != math.Trunc(v.Num) || v.Num < float64(least) || v.Num > float64(most) {
		return false
	}
	*to = int(v.Num)
	return true
}

// readMessages reads and checks a chat's messages.
func (n counter) readMessages(list gjson.Result) (m messages, refusal *reply) {
	refuse := func(param, code, message string) {
		a := invalid(param, code, message)
		refusal = &a
	}
	at := func(member string) string { return "messages[" + strconv.Itoa(m.count) + "]." + member }
	if !list.Exists() {
		refuse("messages", "missing_required_parameter", "Missing required parameter: 'messages'.")
		return m, refusal
	}
	if !list.IsArray() {
		refuse("messages", "invalid_type", "Invalid type for 'messages': expected an array of objects.")
		return m, refusal
	}
	m.tokens = 3
	list.ForEach(func(_, v gjson.Result) bool {
		role, content := v.Get("role"), v.Get("content")
		switch role.Str {
		case "system", "developer", "user", "assistant", "tool", "function":
		default:
			refuse(at("role"), "invalid_value", "Invalid value: '"+role.Str+"'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'.")
			return false
		}
		if content.Type == gjson.Null && role.Str != "assistant" || content.Type == gjson.Number || content.IsBool() || content.IsObject() {
			refuse(at("content"), "", "Invalid value for 'content': expected a string, got "+strings.ToLower(content.Type.String())+".")
			return false
		}
		text, images := readContent(content)
		m.count++
		m.tokens += n.message(v, text, images)
		m.lastRole = role.Str
		if role.Str == "user" {
			m.question = text
		}
		if m.filter == "" {
			m.filter = filterCategory(text)
		}
		return true
	})
	if refusal == nil && m.count == 0 {
		refuse("messages", "empty_array", "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.")
	}
	return m, refusal
}

// readContent is the text of a message's content, whose parts are joined by spaces, and the number of its images.
func readContent(content gjson.Result) (text string, images int) {
	if content.Type == gjson.String {
		return content.Str, 0
	}
	var parts []string
	images = eachText(content, func(part string) { parts = append(parts, part) })
	return strings.Join(parts, " "), images
}

// eachText calls f with the text of every part of a content, and returns how many of its parts are images.
func eachText(content gjson.Result, f func(part string)) (images int) {
	content.ForEach(func(_, part gjson.Result) bool {
		switch part.Get("type").Str {
		case "text", "input_text", "output_text":
			f(part.Get("text").String())
		case "image_url", "input_image":
			images++
		}
		return true
	})
	return images
}
