-- Tells of a rest. KEYS: the rests, which is the channel's name too. ARGV: the
-- endpoint, how long it lasts in ms, who tells. It shortens none.

local ends = now + ARGV[2]
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if known and tonumber(known) >= ends then return 0 end
redis.call('ZADD', KEYS[1], ends, ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left < ends - now then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
redis.call('PUBLISH', KEYS[1], ARGV[3] .. ' ' .. ARGV[1] .. ' ' .. ARGV[2])
return 1
