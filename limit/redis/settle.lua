-- Corrects accounts, once. KEYS: where the id of the replica's last settlement
-- is kept, and the accounts. ARGV: the time after which it is too late, the id,
-- empty for none, and of each account its kind, by how much, and the slot, end,
-- lease, or slot and application. Answers {1 done, now or before; -1 too late; now}.

if now > tonumber(ARGV[1]) then return {-1, now} end

local last, id = KEYS[1], ARGV[2]
if id ~= '' then
	if redis.pcall('GET', last) == id then return {1, now} end
	-- First, so that a Redis that can write no more has not begun.
	redis.call('SET', last, id, 'PX', lastFor)
end

-- correct corrects what is in the slot, if that is still there, and reports
-- whether it has.
local function correct(w, delta, charged)
	local i = math.max(1, slot - charged + 1) -- a clock set back made it new
	if i > slots + 1 then return false end
	local was = w[i]
	w[i] = math.max(0, was + delta)
	w.total = w.total + w[i] - was
	return w[i] ~= was
end

local at = 2
local function arg() at = at + 1; return ARGV[at] end

for i = 2, #KEYS do
	local key, kind, delta = KEYS[i], arg(), tonumber(arg())
	if kind == 'w' then
		local charged, w = tonumber(arg()), readWindow(key)
		if correct(w, delta, charged) then writeWindow(key, w) end
	elseif kind == 'p' then
		local ends, was = tonumber(arg()), readPeriod(key)
		local is = math.max(0, was + delta)
		if is ~= was then writePeriod(key, is, ends) end
	elseif kind == 'g' then
		redis.pcall('ZREM', key, arg())
	elseif kind == 's' then
		local charged, name, apps = tonumber(arg()), arg(), readPool(key)
		apps[name] = apps[name] or unpackWindow() -- it may have used some alone
		if correct(apps[name], delta, charged) then writePart(key, apps, name) end
	end
end
return {1, now}
