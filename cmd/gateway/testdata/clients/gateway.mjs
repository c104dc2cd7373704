// The gateway under test and the simulated models behind it, as the Go test
// that runs these files names them.

function needed(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run these tests with go test -run JavaScript ./cmd/gateway`);
  return value;
}

// root is the gateway's URL, base the same with the base path.
export const root = needed('GATEWAY_URL');
export const base = `${root}/api/v1/dev/apirouter`;
// key is the caller's; keyed says that the gateway asks for it.
export const key = needed('CALLER_KEY');
export const keyed = process.env.CALLERS === 'on';

// kept says that the gateway has a cache and conversations, replays that what
// is asked here has been asked before, by the round before.
export const kept = process.env.KEPT === 'on';
export const round = Number(needed('ROUND'));
export const replays = kept && round > 1;
// livePieces is the least in which a stream's text comes: the cache gives it in
// one.
export const livePieces = kept ? 1 : 4;
// fresh is for what only an endpoint's own answer can show, as option of a
// request.
export const fresh = { query: { use_cache: 'false' } };

const simulator = needed('SIMULATOR_URL');

// canceled is the number of calls to endpoints that were ended because their
// client left.
export async function canceled() {
  const response = await fetch(`${simulator}/sim/stats`);
  return (await response.json()).canceled;
}

// eventually asks until the answer is the wanted one, for at most 10 seconds.
export async function eventually(ask, wanted, what) {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const got = await ask();
    if (got === wanted) return;
    if (Date.now() > deadline) throw new Error(`${what}: got ${got}, want ${wanted}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export const question = [{ role: 'user', content: 'What is a gateway?' }];
export const answer = /^Simulated answer of .* to “What is a gateway\?”\. It has read 1 message\.$/;

// weather is a tool as the clients take it.
export const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather of a city.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
