// The npm package openai, as OpenAI and as Azure client.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import OpenAI, { APIUserAbortError, AuthenticationError, AzureOpenAI, BadRequestError, InternalServerError, NotFoundError, RateLimitError } from 'openai';
import { answer, base, canceled, eventually, fresh, key, keyed, livePieces, question, replays, round, weather } from './gateway.mjs';

const asOpenAI = (options) => new OpenAI({ baseURL: `${base}/lb/v1`, apiKey: key, maxRetries: 0, ...options });
const asAzure = (options) => new AzureOpenAI({ endpoint: `${base}/lb`, apiVersion: '2024-10-21', apiKey: key, maxRetries: 0, ...options });

for (const [form, connect] of Object.entries({ OpenAI: asOpenAI, AzureOpenAI: asAzure })) {
  describe(form, () => {
    const client = connect();
    const ask = (more) => ({ model: 'aichatbotapp', messages: question, ...more });

    test('chat', async () => {
      const { data, response } = await client.chat.completions
        .create(ask(), { headers: { 'x-request-id': `chat-${form}` } })
        .withResponse();
      assert.match(data.choices[0].message.content, answer);
      assert.equal(data.choices[0].finish_reason, 'stop');
      assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
      assert.ok(data.usage.completion_tokens > 0);
      assert.equal(response.headers.get('x-request-id'), `chat-${form}`);
      assert.equal(data._request_id, `chat-${form}`);
      const hit = response.headers.get('x-cache') === 'hit';
      assert.ok(hit || !replays, 'the second time it is a hit');
      assert.ok(hit || response.headers.get('x-ms-region'), 'the endpoint’s x-ms-region comes through');
    });

    test('several choices', async () => {
      const { choices } = await client.chat.completions.create(ask({ n: 2 }));
      assert.deepEqual(choices.map((c) => c.index), [0, 1]);
    });

    test('stream with usage', async () => {
      const stream = await client.chat.completions.create(ask({ stream: true, stream_options: { include_usage: true } }));
      const pieces = [];
      let usage, finish;
      for await (const chunk of stream) {
        const choice = chunk.choices[0];
        if (choice?.delta?.content) pieces.push(choice.delta.content);
        finish = choice?.finish_reason ?? finish;
        usage = chunk.usage ?? usage;
      }
      assert.match(pieces.join(''), answer);
      assert.ok(pieces.length >= livePieces, `the text came in ${pieces.length} pieces`);
      assert.equal(finish, 'stop');
      assert.ok(usage.total_tokens > 0);
    });

    test('stream without usage shows none', async () => {
      const stream = await client.chat.completions.create(ask({ stream: true }));
      let chunks = 0;
      for await (const chunk of stream) {
        chunks++;
        assert.equal(chunk.usage ?? null, null);
      }
      assert.ok(chunks >= livePieces);
    });

    test('tool calls, streamed, and their result', async () => {
      const messages = [{ role: 'user', content: 'How is the weather in Oslo?' }];
      const first = await client.chat.completions.stream(ask({ messages, tools: [weather] })).finalChatCompletion();
      assert.equal(first.choices[0].finish_reason, 'tool_calls');
      const [call] = first.choices[0].message.tool_calls;
      assert.equal(call.function.name, 'get_weather');
      assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Oslo' });

      messages.push(first.choices[0].message, { role: 'tool', tool_call_id: call.id, content: 'Rain.' });
      const second = await client.chat.completions.create(ask({ messages, tools: [weather] }));
      assert.match(second.choices[0].message.content, /It has read 3 messages/);
    });

    test('tool calls in one piece', async () => {
      const { choices } = await client.chat.completions.create(ask({ tools: [weather], tool_choice: 'required' }));
      assert.equal(choices[0].message.content, null);
      assert.equal(choices[0].message.tool_calls[0].function.name, 'get_weather');
    });

    test('abort within a stream ends the endpoint’s call', async () => {
      const before = await canceled();
      const stream = await client.chat.completions.create(ask({ stream: true, user: 'sim:hang=3' }), fresh);
      let seen = 0;
      for await (const chunk of stream) {
        if (chunk.choices[0]?.delta?.content && ++seen === 1) stream.controller.abort();
      }
      assert.ok(seen >= 1);
      await eventually(canceled, before + 1, 'canceled calls');
    });

    test('abort before the answer ends the endpoint’s call', async () => {
      const before = await canceled();
      const stop = new AbortController();
      const asked = client.chat.completions.create(ask({ user: 'sim:hang' }), { ...fresh, signal: stop.signal });
      setTimeout(() => stop.abort(), 200);
      await assert.rejects(asked, APIUserAbortError);
      await eventually(canceled, before + 1, 'canceled calls');
    });

    test('a broken stream is an error, not a short answer', async () => {
      const stream = await client.chat.completions.create(ask({ stream: true, user: 'sim:cut=4' }), fresh);
      let seen = 0;
      await assert.rejects(async () => {
        for await (const chunk of stream) if (chunk.choices[0]?.delta?.content) seen++;
      });
      assert.ok(seen > 0);
    });

    for (const stream of [false, true]) {
      test(`errors, stream: ${stream}`, async () => {
        await assert.rejects(client.chat.completions.create(ask({ stream, model: 'no-such-app' })), (err) => {
          assert.ok(err instanceof NotFoundError);
          assert.deepEqual([err.status, err.code, err.type], [404, 'notFound', 'invalid_request_error']);
          assert.ok(err.requestID);
          return true;
        });
        const violent = [{ role: 'user', content: 'violence-test' }];
        await assert.rejects(client.chat.completions.create(ask({ stream, messages: violent })), (err) => {
          assert.ok(err instanceof BadRequestError);
          assert.equal(err.code, 'content_filter');
          assert.ok(err.error.innererror, 'the endpoint’s body comes through');
          return true;
        });
        await assert.rejects(client.chat.completions.create(ask({ stream, messages: 'hello' })), (err) => {
          assert.ok(err instanceof BadRequestError);
          assert.deepEqual([err.code, err.param], ['invalidPayload', 'messages']);
          return true;
        });
        await assert.rejects(client.chat.completions.create(ask({ stream, model: `brokenapp-${form}-${round}` })), (err) => {
          assert.ok(err instanceof InternalServerError);
          assert.deepEqual([err.status, err.code], [502, 'backendFailure']);
          return true;
        });
      });
    }

    test('429 says how long to wait', async () => {
      // Its one endpoint takes one request a minute.
      const model = `oneaminute-${form}-${round}`;
      await client.chat.completions.create(ask({ model }), fresh);
      await assert.rejects(client.chat.completions.create(ask({ model }), fresh), (err) => {
        assert.ok(err instanceof RateLimitError);
        assert.equal(err.code, 'tooManyRequests');
        const [seconds, ms] = ['retry-after', 'retry-after-ms'].map((name) => Number(err.headers.get(name)));
        assert.ok(ms > 0 && ms <= 60_000, `retry-after-ms: ${ms}`);
        assert.equal(seconds, Math.ceil(ms / 1000));
        return true;
      });
    });

    if (keyed) {
      test('a wrong key', async () => {
        const stranger = connect({ apiKey: 'not-the-key' });
        await assert.rejects(stranger.chat.completions.create(ask()), AuthenticationError);
      });
    }

    test('embeddings', async () => {
      const input = ['a red car', 'the car is red', 'how to bake bread'];
      const inBase64 = await client.embeddings.create({ model: 'vectorizedata', input }); // what the client asks for itself
      const asFloats = await client.embeddings.create({ model: 'vectorizedata', input, encoding_format: 'float' });
      assert.equal(inBase64.data.length, 3);
      assert.ok(inBase64.usage.prompt_tokens > 0);
      for (const [i, { embedding }] of inBase64.data.entries()) {
        assert.equal(embedding.length, 1536);
        assert.ok(embedding.every((x, j) => Math.abs(x - asFloats.data[i].embedding[j]) < 1e-6));
      }
    });

    test('completions', async () => {
      const { choices, usage } = await client.completions.create({ model: 'aidocusearchapp', prompt: ['One?', 'Two?'], max_tokens: 64 });
      assert.deepEqual(choices.map((c) => c.index), [0, 1]);
      assert.match(choices[0].text, /“One\?”/);
      assert.match(choices[1].text, /“Two\?”/);
      assert.ok(usage.total_tokens > 0);
    });

    test('completions, streamed', async () => {
      let text = '';
      for await (const chunk of await client.completions.create({ model: 'aidocusearchapp', prompt: 'One?', stream: true })) {
        text += chunk.choices[0]?.text ?? '';
      }
      assert.match(text, /“One\?”/);
    });
  });
}

describe('OpenAI only', () => {
  test('models are the applications', async () => {
    const ids = [];
    for await (const model of asOpenAI().models.list()) ids.push(model.id);
    assert.ok(ids.includes('aichatbotapp') && ids.includes('openai-app'), ids.join());
  });

  const client = asOpenAI({ baseURL: `${base}/lb/openai-app` });

  test('the application in the base URL', async () => {
    const { choices, model } = await client.chat.completions.create({ model: 'gpt-4o-mini', messages: question });
    assert.match(choices[0].message.content, answer);
    assert.equal(model, 'gpt-4o-mini');
  });

  test('responses', async () => {
    const { output_text } = await client.responses.create({ model: 'gpt-4o-mini', input: 'What is a gateway?' });
    assert.match(output_text, /What is a gateway/);
  });

  test('responses, streamed', async () => {
    const types = [];
    let text = '';
    for await (const event of await client.responses.create({ model: 'gpt-4o-mini', input: 'What is a gateway?', stream: true })) {
      types.push(event.type);
      if (event.type === 'response.output_text.delta') text += event.delta;
    }
    assert.equal(types[0], 'response.created');
    assert.equal(types.at(-1), 'response.completed');
    assert.match(text, /What is a gateway/);
  });

  test('a file to transcribe', async () => {
    const file = new File([new Uint8Array(4096)], 'speech.wav', { type: 'audio/wav' });
    const { text } = await client.audio.transcriptions.create({ model: 'whisper-1', file });
    assert.ok(text.length > 0);
  });
});
