package tokens

// The cookbook's function tokens, by vocabulary.
const (
	function4  = 10 // gpt-3.5-turbo, gpt-4
	function4o = 7  // gpt-4o and, as nothing else is published, all later
)

// known is one line of the table of models.
type known struct {
	prefix string
	Model
}

// unknown is the model of a name that says nothing.
var unknown = Model{
	name: "unknown", unknown: true, vocabulary: o200k, message: 3, named: 1, function: function4o,
	image: tiles(85, 170),
}

// models is the table of models; a name comes after all names that it is a
// prefix of. The vocabularies are those of tiktoken's model.py; gpt-oss has
// o200k_harmony, which is o200k_base with other special tokens. The limits are
// those of learn.microsoft.com/azure/foundry/foundry-models/concepts/models-sold-directly-by-azure
// and, for models that are no longer sold, of platform.openai.com/docs/models.
// It is not changed.
var models = []known{
	// name, family, context, longest answer, images
	o("gpt-5.5-pro", "gpt-5.5-pro", 1_050_000, 128_000, patches(1.2)),
	o("gpt-5.5", "gpt-5.5", 1_050_000, 128_000, patches(1.2)),
	o("gpt-5.4-mini", "gpt-5.4-mini", 400_000, 128_000, patches(1.62)),
	o("gpt-5.4-nano", "gpt-5.4-nano", 400_000, 128_000, patches(2.46)),
	o("gpt-5.4-pro", "gpt-5.4-pro", 1_050_000, 128_000, patches(1.2)),
	o("gpt-5.4", "gpt-5.4", 1_050_000, 128_000, patches(1.2)),
	o("gpt-5.3-chat", "gpt-5.3-chat", 128_000, 16_384, patches(1.2)),
	o("gpt-5.3-codex", "gpt-5.3-codex", 400_000, 128_000, patches(1.2)),
	o("gpt-5.2-chat", "gpt-5.2-chat", 128_000, 16_384, patches(1.2)),
	o("gpt-5.2-codex", "gpt-5.2-codex", 400_000, 128_000, patches(1.2)),
	o("gpt-5.2", "gpt-5.2", 400_000, 128_000, patches(1.2)),
	o("gpt-5.1-chat", "gpt-5.1-chat", 128_000, 16_384, tiles(70, 140)),
	o("gpt-5.1-codex-mini", "gpt-5.1-codex-mini", 400_000, 128_000, patches(1.62)),
	o("gpt-5.1-codex", "gpt-5.1-codex", 400_000, 128_000, tiles(70, 140)),
	o("gpt-5.1", "gpt-5.1", 400_000, 128_000, tiles(70, 140)),
	o("gpt-5-chat", "gpt-5-chat", 128_000, 16_384, tiles(70, 140)),
	o("gpt-5-codex", "gpt-5-codex", 400_000, 128_000, tiles(70, 140)),
	o("gpt-5-mini", "gpt-5-mini", 400_000, 128_000, patches(1.62)),
	o("gpt-5-nano", "gpt-5-nano", 400_000, 128_000, patches(2.46)),
	o("gpt-5-pro", "gpt-5-pro", 400_000, 128_000, tiles(70, 140)),
	o("gpt-5", "gpt-5", 400_000, 128_000, tiles(70, 140)),
	o("gpt-oss-120b", "gpt-oss", 131_072, 131_072, imageRule{}),
	o("gpt-oss-20b", "gpt-oss", 131_072, 131_072, imageRule{}),
	o("gpt-oss", "gpt-oss", 131_072, 131_072, imageRule{}),
	o("gpt-4.5", "gpt-4.5", 128_000, 16_384, tiles(85, 170)),
	o("gpt-4.1-mini", "gpt-4.1-mini", 1_047_576, 32_768, patches(1.62)),
	o("gpt-4.1-nano", "gpt-4.1-nano", 1_047_576, 32_768, patches(2.46)),
	o("gpt-4.1", "gpt-4.1", 1_047_576, 32_768, tiles(85, 170)),
	o("gpt-4o-mini", "gpt-4o-mini", 128_000, 16_384, tiles(2833, 5667)),
	o("gpt-4o-2024-05-13", "gpt-4o", 128_000, 4_096, tiles(85, 170)),
	o("gpt-4o", "gpt-4o", 128_000, 16_384, tiles(85, 170)),
	o("chatgpt-4o", "gpt-4o", 128_000, 16_384, tiles(85, 170)),
	o("o4-mini", "o4-mini", 200_000, 100_000, patches(1.72)),
	o("codex-mini", "codex-mini", 200_000, 100_000, patches(1.72)),
	o("o3-mini", "o3-mini", 200_000, 100_000, imageRule{}),
	o("o3-pro", "o3-pro", 200_000, 100_000, tiles(75, 150)),
	o("o3", "o3", 200_000, 100_000, tiles(75, 150)),
	o("o1-mini", "o1-mini", 128_000, 65_536, imageRule{}),
	o("o1-preview", "o1-preview", 128_000, 32_768, imageRule{}),
	o("o1-pro", "o1-pro", 200_000, 100_000, tiles(75, 150)),
	o("o1", "o1", 200_000, 100_000, tiles(75, 150)),
	o("computer-use-preview", "computer-use-preview", 8_192, 1_024, tiles(65, 129)),
	cl("gpt-4-turbo", "gpt-4-turbo", 128_000, 4_096, tiles(85, 170)),
	cl("gpt-4-1106", "gpt-4-turbo", 128_000, 4_096, imageRule{}),
	cl("gpt-4-0125", "gpt-4-turbo", 128_000, 4_096, imageRule{}),
	cl("gpt-4-vision", "gpt-4-turbo", 128_000, 4_096, tiles(85, 170)),
	cl("gpt-4-32k", "gpt-4-32k", 32_768, 32_768, imageRule{}),
	cl("gpt-4", "gpt-4", 8_192, 8_192, imageRule{}),
	first("gpt-3.5-turbo-0301", "gpt-3.5-turbo", 4_096),
	first("gpt-35-turbo-0301", "gpt-3.5-turbo", 4_096),
	cl("gpt-3.5-turbo-instruct", "gpt-3.5-turbo-instruct", 4_096, 4_096, imageRule{}),
	cl("gpt-35-turbo-instruct", "gpt-3.5-turbo-instruct", 4_096, 4_096, imageRule{}),
	cl("gpt-3.5-turbo-0613", "gpt-3.5-turbo", 4_096, 4_096, imageRule{}),
	cl("gpt-35-turbo-0613", "gpt-3.5-turbo", 4_096, 4_096, imageRule{}),
	cl("gpt-3.5-turbo", "gpt-3.5-turbo", 16_385, 4_096, imageRule{}),
	cl("gpt-35-turbo", "gpt-3.5-turbo", 16_385, 4_096, imageRule{}),
	cl("gpt-3.5", "gpt-3.5-turbo", 16_385, 4_096, imageRule{}),
	cl("gpt-35", "gpt-3.5-turbo", 16_385, 4_096, imageRule{}),
	cl("text-embedding-ada-002", "text-embedding-ada-002", 8_192, 0, imageRule{}),
	cl("text-embedding-3-large", "text-embedding-3-large", 8_192, 0, imageRule{}),
	cl("text-embedding-3-small", "text-embedding-3-small", 8_192, 0, imageRule{}),
	cl("davinci-002", "davinci-002", 16_384, 16_384, imageRule{}),
	cl("babbage-002", "babbage-002", 16_384, 16_384, imageRule{}),
}

// o is a model that counts with o200k_base.
func o(prefix, name string, context, maxOutput int, image imageRule) known {
	return known{prefix, Model{
		name: name, vocabulary: o200k, context: context, maxOutput: maxOutput, image: image,
		message: 3, named: 1, function: function4o,
	}}
}

// cl is a model that counts with cl100k_base.
func cl(prefix, name string, context, maxOutput int, image imageRule) known {
	return known{prefix, Model{
		name: name, vocabulary: cl100k, context: context, maxOutput: maxOutput, image: image,
		message: 3, named: 1, function: function4,
	}}
}

// first is the first chat model, whose messages were written otherwise: with
// a name, the role was left out.
func first(prefix, name string, context int) known {
	k := cl(prefix, name, context, context, imageRule{})
	k.message, k.named = 4, -1
	return k
}
