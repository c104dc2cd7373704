package simulator

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"

	"github.com/tidwall/gjson"
)

const (
	// Dimensions is the width of an embedding unless the request says otherwise, that of text-embedding-3-small.
	Dimensions = 1536
	// maxDimensions is that of text-embedding-3-large.
	maxDimensions = 3072
	// maxInputTokens is what the embedding models read of one text.
	maxInputTokens = 8192
)

// embeddings answers /embeddings.
func (c *call) embeddings() reply {
	if bad, is := c.badJSON(); is {
		return bad
	}
	root := gjson.ParseBytes(c.body)
	texts, refusal := readTexts(root.Get("input"), "input")
	if refusal != nil {
		return *refusal
	}
	dims := Dimensions
	if v := root.Get("dimensions"); v.Type != gjson.Null && !readInt(v, 1, maxDimensions, &dims) {
		return invalid("dimensions", "invalid_value", "Invalid 'dimensions': expected an integer from 1 to 3072.")
	}
	format := root.Get("encoding_format")
	if format.Type != gjson.Null && format.Str != "float" && format.Str != "base64" {
		return invalid("encoding_format", "invalid_value", "Invalid 'encoding_format': expected float or base64.")
	}
	model := c.model("text-embedding-3-small")
	count := c.counter(model)
	tokens := 0
	for _, text := range texts {
		if text.text == "" {
			texts = nil
			break
		}
		n := count.input(text)
		if n > maxInputTokens {
			return invalid("input", "", "This model's maximum context length is 8192 tokens, however you requested "+strconv.Itoa(n)+
				" tokens. Please reduce your prompt.")
		}
		tokens += n
	}
	if len(texts) == 0 {
		return invalid("input", "invalid_value", "Invalid 'input': it is missing, empty, or has an empty string.")
	}
	if refusal, admitted := c.admit(tokens); !admitted {
		return refusal
	}
	b := make([]byte, 0, 256+len(texts)*dims*12)
	b = append(b, `{"data":[`...)
	for i, text := range texts {
		if c.r.Context().Err() != nil {
			break // nobody waits for the rest
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"embedding":`...)
		b = appendVector(b, Embed(text.text, dims), format.Str == "base64")
		b = append(b, `,"index":`...)
		b = strconv.AppendInt(b, int64(i), 10)
		b = append(b, `,"object":"embedding"}`...)
	}
	b = append(b, `],"model":`...)
	b = gjson.AppendJSONString(b, model)
	b = append(b, `,"object":"list"`...)
	if !c.plan.noUsage {
		b = c.plan.appendCount(append(b, `,"usage":{"prompt_tokens":`...), tokens)
		b = c.plan.appendCount(append(b, `,"total_tokens":`...), tokens)
		b = append(b, '}')
	}
	return ok(append(b, '}')).owing(&bill{counter: count, used: usage{prompt: tokens}})
}

// appendVector appends v as a list of numbers or as base64 of its little-endian bytes.
func appendVector(b []byte, v []float32, packed bool) []byte {
	if packed {
		raw := make([]byte, 0, 4*len(v))
		for _, x := range v {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
		}
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, raw)
		return append(b, '"')
	}
	b = append(b, '[')
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(x), 'g', -1, 32)
	}
	return append(b, ']')
}
