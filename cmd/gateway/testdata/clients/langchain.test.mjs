// LangChain, whose Azure classes put the deployment right behind the base path.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages';
import { AzureChatOpenAI, AzureOpenAI, AzureOpenAIEmbeddings, ChatOpenAI } from '@langchain/openai';
import { answer, base, canceled, eventually, fresh, key, keyed, livePieces, weather } from './gateway.mjs';

const azure = (deployment, more) => ({
  azureOpenAIApiKey: key,
  azureOpenAIApiVersion: '2024-10-21',
  azureOpenAIApiDeploymentName: deployment,
  azureOpenAIBasePath: `${base}/lb`,
  maxRetries: 0,
  ...more,
});

const asked = [new HumanMessage('What is a gateway?')];

const chats = {
  AzureChatOpenAI: (more) => new AzureChatOpenAI(azure('aichatbotapp', more)),
  ChatOpenAI: (more) => new ChatOpenAI({ model: 'aichatbotapp', apiKey: key, maxRetries: 0, configuration: { baseURL: `${base}/lb/v1` }, ...more }),
};

for (const [name, connect] of Object.entries(chats)) {
  describe(name, () => {
    const chat = connect();

    test('invoke', async () => {
      const said = await chat.invoke(asked);
      assert.match(said.content, answer);
      assert.equal(said.response_metadata.finish_reason, 'stop');
      assert.ok(said.usage_metadata.total_tokens > 0);
    });

    test('stream', async () => {
      let whole;
      let chunks = 0;
      for await (const chunk of await chat.stream(asked)) {
        whole = whole ? whole.concat(chunk) : chunk;
        chunks++;
      }
      assert.match(whole.content, answer);
      assert.ok(chunks >= livePieces);
      assert.ok(whole.usage_metadata.total_tokens > 0); // it asks for usage itself
    });

    test('tool calls, streamed, and their result', async () => {
      const bound = chat.bindTools([weather]);
      const messages = [new SystemMessage('Be short.'), new HumanMessage('How is the weather in Oslo?')];
      let first;
      for await (const chunk of await bound.stream(messages)) first = first ? first.concat(chunk) : chunk;
      const [call] = first.tool_calls;
      assert.equal(call.name, 'get_weather');
      assert.deepEqual(call.args, { city: 'Oslo' });
      messages.push(first, new ToolMessage({ tool_call_id: call.id, content: 'Rain.' }));
      assert.match((await bound.invoke(messages)).content, /It has read 4 messages/);
    });

    test('batch', async () => {
      const said = await chat.batch([asked, asked, asked]);
      for (const one of said) assert.match(one.content, answer);
    });

    test('abort within a stream ends the endpoint’s call', async () => {
      const before = await canceled();
      const stop = new AbortController();
      const hanging = connect({ user: 'sim:hang=3' });
      await assert.rejects(async () => {
        for await (const chunk of await hanging.stream(asked, { signal: stop.signal, ...fresh })) if (chunk.content) stop.abort();
      });
      await eventually(canceled, before + 1, 'canceled calls');
    });

    if (keyed) {
      test('a wrong key', async () => {
        const wrong = name === 'ChatOpenAI' ? { apiKey: 'not-the-key' } : { azureOpenAIApiKey: 'not-the-key' };
        await assert.rejects(connect(wrong).invoke(asked), { status: 401 });
      });
    }
  });
}

test('AzureChatOpenAI: errors', async () => {
  await assert.rejects(new AzureChatOpenAI(azure('no-such-app')).invoke(asked), { status: 404, code: 'notFound' });
  await assert.rejects(chats.AzureChatOpenAI().invoke([new HumanMessage('violence-test')]), { status: 400, code: 'content_filter' });
});

describe('AzureOpenAI', () => {
  const llm = new AzureOpenAI(azure('aidocusearchapp', { maxTokens: 64 }));

  test('invoke', async () => assert.match(await llm.invoke('One?'), /“One\?”/));

  test('several prompts', async () => {
    const { generations, llmOutput } = await llm.generate(['One?', 'Two?']);
    assert.match(generations[0][0].text, /“One\?”/);
    assert.match(generations[1][0].text, /“Two\?”/);
    assert.ok(llmOutput.tokenUsage.totalTokens > 0);
  });

  test('stream', async () => {
    let text = '';
    for await (const chunk of await llm.stream('One?')) text += chunk;
    assert.match(text, /“One\?”/);
  });
});

test('AzureOpenAIEmbeddings', async () => {
  const embeddings = new AzureOpenAIEmbeddings({ ...azure(), azureOpenAIApiEmbeddingsDeploymentName: 'vectorizedata' });
  const [one, two] = await embeddings.embedDocuments(['a red car', 'a blue car']);
  assert.deepEqual([one.length, two.length], [1536, 1536]);
  assert.equal((await embeddings.embedQuery('a red car')).length, 1536);
});
