// What the gateway keeps, through each client: an answer in either form from
// the cache, and a conversation of which the client keeps x-thread-id only.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AzureKeyCredential, OpenAIClient } from '@azure/openai';
import { HumanMessage } from '@langchain/core/messages';
import { AzureChatOpenAI, ChatOpenAI } from '@langchain/openai';
import OpenAI, { AzureOpenAI } from 'openai';
import { base, eventually, kept, key, replays } from './gateway.mjs';

// Each client's ask(messages, stream, sent) sends headers and returns the text
// of the answer and what it has for headers.

const openai = (client) => async (messages, stream, sent) => {
  const { data, response } = await client.chat.completions
    .create({ model: 'aichatbotapp', messages, stream }, { headers: sent })
    .withResponse();
  let text = '';
  if (stream) for await (const chunk of data) text += chunk.choices[0]?.delta?.content ?? '';
  else text = data.choices[0].message.content;
  return { text, headers: response.headers };
};

async function azure(messages, stream, sent) {
  let headers;
  const policy = {
    name: 'thread',
    async sendRequest(request, next) {
      for (const [name, value] of Object.entries(sent)) request.headers.set(name, value);
      const response = await next(request);
      headers = response.headers;
      return response;
    },
  };
  const client = new OpenAIClient(`${base}/lb`, new AzureKeyCredential(key), {
    allowInsecureConnection: true, // http, but to this machine
    additionalPolicies: [{ policy, position: 'perCall' }],
  });
  let text = '';
  if (stream) {
    for await (const event of await client.streamChatCompletions('aichatbotapp', messages)) text += event.choices[0]?.delta?.content ?? '';
  } else {
    text = (await client.getChatCompletions('aichatbotapp', messages)).choices[0].message.content;
  }
  return { text, headers };
}

const langchain = (connect) => async (messages, stream, sent) => {
  let headers;
  const chat = connect(async (url, init) => {
    const response = await fetch(url, init);
    headers = response.headers;
    return response;
  });
  const said = messages.map(({ content }) => new HumanMessage(content));
  const options = stream ? { headers: sent } : { options: { headers: sent } }; // where LangChain looks for them
  let text = '';
  if (stream) for await (const chunk of await chat.stream(said, options)) text += chunk.content;
  else text = (await chat.invoke(said, options)).content;
  return { text, headers };
};

async function plain(messages, stream, sent) {
  const response = await fetch(`${base}/lb/aichatbotapp`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'api-key': key, ...sent },
    body: JSON.stringify({ messages, stream }),
  });
  const body = await response.text();
  if (!stream) return { text: JSON.parse(body).choices[0].message.content, headers: response.headers };
  const events = body.split('\n\n').filter((event) => event.startsWith('data: {')).map((event) => JSON.parse(event.slice(6)));
  assert.ok(body.endsWith('data: [DONE]\n\n'));
  return { text: events.map((event) => event.choices[0]?.delta?.content ?? '').join(''), headers: response.headers };
}

// The topics are words that the simulator's embeddings tell apart.
const clients = {
  OpenAI: ['volcanoes', openai(new OpenAI({ baseURL: `${base}/lb/v1`, apiKey: key, maxRetries: 0 }))],
  AzureOpenAI: ['bicycles', openai(new AzureOpenAI({ endpoint: `${base}/lb`, apiVersion: '2024-10-21', apiKey: key, maxRetries: 0 }))],
  '@azure/openai': ['lighthouses', azure],
  'LangChain AzureChatOpenAI': [
    'penguins',
    langchain(
      (fetch) =>
        new AzureChatOpenAI({
          azureOpenAIApiKey: key,
          azureOpenAIApiVersion: '2024-10-21',
          azureOpenAIApiDeploymentName: 'aichatbotapp',
          azureOpenAIBasePath: `${base}/lb`,
          maxRetries: 0,
          configuration: { fetch },
        }),
    ),
  ],
  'LangChain ChatOpenAI': [
    'cathedrals',
    langchain((fetch) => new ChatOpenAI({ model: 'aichatbotapp', apiKey: key, maxRetries: 0, configuration: { baseURL: `${base}/lb/v1`, fetch } })),
  ],
  fetch: ['submarines', plain],
};

const user = (content) => [{ role: 'user', content }];

for (const [name, [topic, ask]] of Object.entries(kept ? clients : {})) {
  describe(`${name}, kept`, () => {
    for (const stream of [false, true]) {
      const form = stream ? 'a stream' : 'one object';

      test(`an answer first given as ${form} comes from the cache in either form`, async () => {
        const question = `What are ${topic}, asked first for ${form}?`;
        const first = await ask(user(question), stream, {});
        assert.equal(first.headers.get('x-cache'), replays ? 'hit' : 'miss');
        assert.ok(first.text.includes(question));
        // It is stored after the answer.
        await eventually(async () => (await ask(user(question), false, {})).headers.get('x-cache'), 'hit', 'x-cache');
        for (const again of [false, true]) {
          const { text, headers } = await ask(user(question), again, {});
          assert.equal(text, first.text);
          assert.deepEqual([headers.get('x-cache'), headers.get('x-cache-layer')], ['hit', 'exact']);
        }
      });

      test(`a conversation begun with ${form}`, async () => {
        let thread;
        for (let turn = 0; turn < 4; turn++) {
          const question = `Turn ${turn} of a talk on ${topic}, begun with ${form}?`;
          const { text, headers } = await ask(user(question), stream === (turn % 2 === 0), thread ? { 'x-thread-id': thread } : {});
          const first = replays ? 'hit' : 'miss';
          assert.equal(headers.get('x-cache'), thread ? 'bypass; reason=thread' : first);
          assert.ok(headers.get('x-thread-id'));
          thread ??= headers.get('x-thread-id');
          assert.equal(headers.get('x-thread-id'), thread);
          assert.ok(text.includes(question), text);
          assert.ok(text.includes(`It has read ${2 * turn + 1} message`), text);
        }
      });
    }
  });
}
