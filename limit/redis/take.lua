-- Adds all charges, or none. KEYS: their accounts. ARGV: take or look, the time
-- after which it is too late, the lease, and of each charge its kind, what to
-- add, the limit, and what the kind needs.
-- Answers {1 taken, 0 refused, -1 too late; now, slot, which refused, wait, used…}.

if now > tonumber(ARGV[2]) then return {-1, now} end

local read, wait, write = {}, {}, {}

-- A window.
function read.w(c) c.window = readWindow(c.key); return c.window.total end
function wait.w(c) return leaves(c.window, c.used + c.add - c.limit) end
function write.w(c)
	c.window[1] = c.window[1] + c.add
	writeWindow(c.key, c.window)
end

-- A period, with its end.
function read.p(c, arg) c.ends = tonumber(arg()); return readPeriod(c.key) end
function wait.p(c) return math.max(1, c.ends - now) end
function write.p(c) writePeriod(c.key, c.used + c.add, c.ends) end

-- A gauge. When one of its leases ends nobody knows: a second is a guess.
function read.g(c)
	local n = redis.pcall('ZCOUNT', c.key, '(' .. now, '+inf')
	return type(n) == 'number' and n or 0
end
function wait.g() return 1000 end
function write.g(c)
	lend(c.key, ARGV[3])
	redis.call('ZREMRANGEBYSCORE', c.key, '-inf', now)
end

-- A part of a pool, with the application's name, and the number of those that
-- have shares, with their names and shares. What is used of it is what the
-- application cannot have.
function read.s(c, arg)
	c.name, c.apps = arg(), readPool(c.key)
	c.apps[c.name] = c.apps[c.name] or unpackWindow()
	c.total, c.share, c.kept = 0, 0, 0 -- kept for others that are active
	for _, w in pairs(c.apps) do c.total = c.total + w.total end
	for _ = 1, tonumber(arg()) do
		local name, share = arg(), tonumber(arg())
		local w = c.apps[name]
		if name == c.name then
			c.share = share
		elseif w and isActive(w) then
			c.kept = c.kept + math.max(0, share - w.total)
		end
	end
	local held = c.apps[c.name].total
	return c.limit - math.min(c.limit - c.total, math.max(c.share - held, c.limit - c.total - c.kept))
end
function wait.s(c)
	local all, own = {}, c.apps[c.name]
	for i = 1, slots + 1 do
		all[i] = 0
		for _, w in pairs(c.apps) do all[i] = all[i] + w[i] end
	end
	local over = c.total + c.add - c.limit
	return math.min(leaves(all, over + c.kept),
		math.max(leaves(all, over), leaves(own, own.total + c.add - c.share)))
end
function write.s(c)
	local own = c.apps[c.name]
	own.asked = slot
	own[1] = own[1] + c.add
	own.total = own.total + c.add
	writePart(c.key, c.apps, c.name)
end

local at = 3
local function arg() at = at + 1; return ARGV[at] end

local charges, answer, refused = {}, {1, now, slot, 0, 0}, nil
for i, key in ipairs(KEYS) do
	local c = {key = key, kind = arg(), add = tonumber(arg()), limit = tonumber(arg())}
	c.used = read[c.kind](c, arg)
	charges[i], answer[5 + i] = c, c.used
	-- Put so that no sum goes beyond what is exact.
	if not refused and c.limit >= 0 and c.add > c.limit - c.used then refused = i end
end

if ARGV[1] == 'look' then return answer end
if refused then
	local c = charges[refused]
	answer[1], answer[4], answer[5] = 0, refused - 1, wait[c.kind](c)
	if c.kind == 's' then
		-- Who asks is active, refused or not: else those that borrow would never
		-- leave it room.
		c.add = 0
		write.s(c)
	end
	return answer
end
for i, c in ipairs(charges) do
	if c.add > 0 or c.kind == 's' then write[c.kind](c) end
	answer[5 + i] = c.used + c.add
end
return answer
