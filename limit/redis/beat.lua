-- Tells that a replica lives. KEYS: the replicas, the rests. ARGV: its id, and
-- how long it counts in ms. Answers {now, whether it was new, how many live,
-- and of each rest its endpoint and how long it lasts}.

local replicas, rests = KEYS[1], KEYS[2]
own(replicas, 'zset')
own(rests, 'zset')
redis.call('ZREMRANGEBYSCORE', replicas, '-inf', now)
local new = redis.call('ZADD', replicas, now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', replicas, ARGV[2])
redis.call('ZREMRANGEBYSCORE', rests, '-inf', now)
local answer = {now, new, redis.call('ZCARD', replicas)}
-- More endpoints than that do not rest at once; the bound keeps the answer short.
local all = redis.call('ZREVRANGEBYSCORE', rests, '+inf', '(' .. now, 'WITHSCORES', 'LIMIT', 0, 1000)
for i = 1, #all, 2 do
	answer[#answer + 1] = all[i]
	answer[#answer + 1] = all[i + 1] - now
end
return answer
