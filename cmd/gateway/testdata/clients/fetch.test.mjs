// Plain HTTP, and what a browser asks beforehand.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { answer, base, key, keyed, question, replays, root } from './gateway.mjs';

const origin = 'https://shop.example.com';

function post(url, body, headers) {
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'api-key': key, ...headers },
    body: JSON.stringify(body),
  });
}

describe('fetch', () => {
  for (const url of [
    `${base}/lb/aichatbotapp`,
    `${root}/api/v1/dev/aigateway/lb/aichatbotapp/`,
    `${root}/lb/aichatbotapp?use_cache=false`,
    `${root}/API/V1/DEV/APIROUTER/LB/aichatbotapp/chat/completions`,
    `${base}/lb/deployments/aichatbotapp/chat/completions`,
  ]) {
    test(`POST ${url.slice(root.length)}`, async () => {
      const response = await post(url, { messages: question });
      assert.equal(response.status, 200);
      assert.match(response.headers.get('content-type'), /^application\/json/);
      assert.ok(response.headers.get('x-request-id'));
      assert.match((await response.json()).choices[0].message.content, answer);
    });
  }

  test('a stream is server-sent events up to [DONE]', async () => {
    const response = await post(`${base}/lb/aichatbotapp`, { stream: true, messages: question });
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-type'), /^text\/event-stream/);
    const text = await response.text();
    const hit = response.headers.get('x-cache') === 'hit';
    assert.ok(hit || text.startsWith('data: {"choices":[],'), 'Azure’s first event comes first');
    assert.ok(hit || !replays, 'the second time it is a hit');
    assert.ok(text.endsWith('data: [DONE]\n\n'));
  });

  test('errors are JSON', async () => {
    for (const [body, status, code] of [
      ['{"messages":', 400, 'invalidPayload'],
      ['{"messages":[],"messages":[]}', 400, 'invalidPayload'],
    ]) {
      const response = await fetch(`${base}/lb/aichatbotapp`, { method: 'POST', headers: { 'api-key': key, 'content-type': 'application/json' }, body });
      assert.equal(response.status, status);
      assert.ok(response.headers.get('x-request-id'));
      assert.equal((await response.json()).error.code, code);
    }
    assert.equal((await (await fetch(`${base}/nowhere`)).json()).error.code, 'notFound');
  });

  test('a browser may ask', async () => {
    const allowed = await fetch(`${base}/lb/aichatbotapp`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'api-key,content-type' },
    });
    assert.ok(allowed.ok);
    assert.ok(['*', origin].includes(allowed.headers.get('access-control-allow-origin')));
    assert.match(allowed.headers.get('access-control-allow-methods'), /POST|\*/);
    assert.match(allowed.headers.get('access-control-allow-headers'), /api-key|\*/i);

    const response = await post(`${base}/lb/aichatbotapp`, { messages: question }, { origin });
    assert.ok(['*', origin].includes(response.headers.get('access-control-allow-origin')));
    assert.match(response.headers.get('access-control-expose-headers'), /x-request-id|\*/i);
    const refused = await post(`${base}/lb/no-such-app`, { messages: question }, { origin });
    assert.equal(refused.status, 404);
    assert.ok(['*', origin].includes(refused.headers.get('access-control-allow-origin')));
  });

  if (keyed) {
    test('a key is needed', async () => {
      for (const headers of [{ 'api-key': '' }, { 'api-key': 'not-the-key' }, { 'api-key': '', authorization: `Basic ${key}` }]) {
        const response = await post(`${base}/lb/aichatbotapp`, { messages: question }, headers);
        assert.equal(response.status, 401);
        assert.equal((await response.json()).error.code, 'unauthorized');
      }
      const response = await post(`${base}/lb/aichatbotapp`, { messages: question }, { 'api-key': '', authorization: `Bearer ${key}` });
      assert.equal(response.status, 200);
    });
  }

  test('pages need no key', async () => {
    const info = await (await fetch(`${base}/instanceinfo`)).json();
    assert.ok(info.aiApplications.some((app) => app.applicationId === 'aichatbotapp'));
    const metrics = await (await fetch(`${base}/metrics`)).json();
    assert.ok(metrics.applicationMetrics.some((app) => app.applicationId === 'aichatbotapp'));
    const exposition = await (await fetch(`${base}/metrics?format=prometheus`)).text();
    assert.match(exposition, /^# TYPE /m);
    assert.equal((await fetch(`${root}/healthz`)).status, 200);
  });
});
