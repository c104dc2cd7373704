// @azure/openai, the client of the first Azure samples, with the pipeline
// policy by which they pass and read headers of their own.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AzureKeyCredential, OpenAIClient } from '@azure/openai';
import { answer, base, canceled, eventually, key, keyed, question, replays, weather } from './gateway.mjs';

// headers is a policy that sends some and keeps the answer's.
function headers(sent) {
  const kept = {};
  const policy = {
    name: 'headers',
    async sendRequest(request, next) {
      for (const [name, value] of Object.entries(sent)) request.headers.set(name, value);
      const response = await next(request);
      Object.assign(kept, response.headers.toJSON());
      return response;
    },
  };
  return { kept, policy };
}

// fresh asks for an endpoint's own answer.
const fresh = {
  name: 'fresh',
  sendRequest(request, next) {
    const url = new URL(request.url);
    url.searchParams.set('use_cache', 'false');
    request.url = url.href;
    return next(request);
  },
};

const connect = (options, credential = key) =>
  new OpenAIClient(`${base}/lb`, new AzureKeyCredential(credential), {
    allowInsecureConnection: true, // http, but to this machine
    retryOptions: { maxRetries: 0 },
    ...options,
  });

describe('@azure/openai', () => {
  const client = connect();

  test('chat, with headers by a policy', async () => {
    const { kept, policy } = headers({ 'x-request-id': 'azure-1' });
    const said = await connect({ additionalPolicies: [{ policy, position: 'perCall' }] }).getChatCompletions('aichatbotapp', question);
    assert.match(said.choices[0].message.content, answer);
    assert.ok(said.usage.totalTokens > 0);
    assert.ok(said.created instanceof Date);
    assert.equal(said.promptFilterResults[0].contentFilterResults.violence.filtered, false);
    assert.equal(kept['x-request-id'], 'azure-1');
    const hit = kept['x-cache'] === 'hit';
    assert.ok(hit || !replays, 'the second time it is a hit');
    assert.ok(hit || kept['apim-request-id']);
  });

  test('stream, with headers by a policy', async () => {
    const { kept, policy } = headers({ 'x-request-id': 'azure-2' });
    const events = await connect({ additionalPolicies: [{ policy, position: 'perCall' }] }).streamChatCompletions('aichatbotapp', question);
    let text = '';
    let finish;
    for await (const event of events) {
      for (const choice of event.choices) {
        text += choice.delta?.content ?? '';
        finish = choice.finishReason ?? finish;
      }
    }
    assert.match(text, answer);
    assert.equal(finish, 'stop');
    assert.equal(kept['x-request-id'], 'azure-2');
  });

  test('tool calls', async () => {
    const said = await client.getChatCompletions('aichatbotapp', [{ role: 'user', content: 'How is the weather in Oslo?' }], { tools: [weather] });
    assert.equal(said.choices[0].finishReason, 'tool_calls');
    assert.deepEqual(JSON.parse(said.choices[0].message.toolCalls[0].function.arguments), { city: 'Oslo' });
  });

  test('tool calls, streamed', async () => {
    const events = await client.streamChatCompletions('aichatbotapp', [{ role: 'user', content: 'How is the weather in Oslo?' }], { tools: [weather] });
    let name = '';
    let args = '';
    for await (const event of events) {
      for (const call of event.choices[0]?.delta?.toolCalls ?? []) {
        name += call.function?.name ?? '';
        args += call.function?.arguments ?? '';
      }
    }
    assert.equal(name, 'get_weather');
    assert.deepEqual(JSON.parse(args), { city: 'Oslo' });
  });

  test('abort within a stream ends the endpoint’s call', async () => {
    const before = await canceled();
    const stop = new AbortController();
    const uncached = connect({ additionalPolicies: [{ policy: fresh, position: 'perCall' }] });
    const events = await uncached.streamChatCompletions('aichatbotapp', question, { user: 'sim:hang=3', abortSignal: stop.signal });
    let seen = 0;
    try {
      for await (const event of events) {
        if (event.choices[0]?.delta?.content && ++seen === 1) stop.abort();
      }
    } catch (err) {
      assert.match(err.message, /abort/i);
    }
    assert.ok(seen >= 1);
    await eventually(canceled, before + 1, 'canceled calls');
  });

  test('errors', async () => {
    await assert.rejects(client.getChatCompletions('no-such-app', question), { code: 'notFound' });
    const violent = [{ role: 'user', content: 'violence-test' }];
    await assert.rejects(client.getChatCompletions('aichatbotapp', violent), { code: 'content_filter' });
    await assert.rejects(client.streamChatCompletions('aichatbotapp', violent), { code: 'content_filter' });
  });

  if (keyed) {
    test('a wrong key', async () => {
      await assert.rejects(connect({}, 'not-the-key').getChatCompletions('aichatbotapp', question), { code: 'unauthorized' });
    });
  }

  test('completions', async () => {
    const { choices } = await client.getCompletions('aidocusearchapp', ['One?', 'Two?'], { maxTokens: 64 });
    assert.deepEqual(choices.map((c) => c.index), [0, 1]);
    assert.match(choices[1].text, /“Two\?”/);
  });

  test('completions, streamed', async () => {
    let text = '';
    for await (const event of await client.streamCompletions('aidocusearchapp', ['One?'])) text += event.choices[0]?.text ?? '';
    assert.match(text, /“One\?”/);
  });

  test('embeddings', async () => {
    const { data, usage } = await client.getEmbeddings('vectorizedata', ['a red car', 'a blue car']);
    assert.deepEqual(data.map((d) => d.embedding.length), [1536, 1536]);
    assert.ok(usage.promptTokens > 0);
  });
});
