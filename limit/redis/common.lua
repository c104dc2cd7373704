-- Before every script: the clock, and how accounts are kept. A key that holds
-- something else counts as empty, and is replaced. The line before this sets
-- slots, slotLength, activeSlots and leaseFor to those of package limit, and
-- lastFor, times in ms.

local windowFor = (slots + 2) * slotLength
local most = 9007199254740992 -- 2^53: numbers are exact up to here

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local slot = math.floor(now / slotLength)

-- A record is the slot in which a part was last asked for, the newest slot, and
-- what is in that one and the 12 before it. In memory [1] is the present slot.
local record = '<' .. string.rep('d', 2 + slots + 1)
local recordSize = 8 * (2 + slots + 1)

local function unpackWindow(packed)
	local w = {asked = -activeSlots - 1, total = 0}
	for i = 1, slots + 1 do w[i] = 0 end
	if type(packed) == 'string' and #packed == recordSize then
		local v = {struct.unpack(record, packed)}
		w.asked = v[1]
		local gone = math.max(0, slot - v[2]) -- a clock set back makes all of it new
		for i = 1, slots + 1 - gone do
			w[i + gone] = v[i + 2]
			w.total = w.total + v[i + 2]
		end
	end
	return w
end

local function packWindow(w)
	return struct.pack(record, w.asked, slot, unpack(w, 1, slots + 1))
end

-- own makes sure that a key, if it is there, is of that type.
local function own(key, kind)
	local is = redis.call('TYPE', key).ok
	if is ~= kind and is ~= 'none' then redis.call('DEL', key) end
end

-- leaves is how long it takes until that much has left the window.
local function leaves(w, much)
	if much <= 0 then return 0 end
	local i = slots + 1
	while i > 1 and much > w[i] do
		much = much - w[i]
		i = i - 1
	end
	return (slot - i + 1 + slots + 1) * slotLength - now
end

local function readWindow(key) return unpackWindow(redis.pcall('GET', key)) end

local function writeWindow(key, w) redis.call('SET', key, packWindow(w), 'PX', windowFor) end

local function readPeriod(key)
	local v = redis.pcall('GET', key)
	return type(v) == 'string' and tonumber(v) or 0
end

-- A period's account is kept for two days after its end, for what settles late.
local function writePeriod(key, v, ends)
	redis.call('SET', key, string.format('%.0f', math.min(v, most)), 'PX',
		string.format('%.0f', math.max(0, ends - now) + 172800000))
end

-- A pool is a hash with a record of each application.
local function readPool(key)
	local apps, flat = {}, redis.pcall('HGETALL', key)
	for i = 1, #flat, 2 do apps[flat[i]] = unpackWindow(flat[i + 1]) end
	return apps
end

local function isActive(w) return math.abs(slot - w.asked) <= activeSlots end

local function writePart(key, apps, name)
	own(key, 'hash')
	for other, w in pairs(apps) do
		if other ~= name and w.total == 0 and not isActive(w) then redis.call('HDEL', key, other) end
	end
	redis.call('HSET', key, name, packWindow(apps[name]))
	redis.call('PEXPIRE', key, windowFor)
end

local function lend(key, lease)
	own(key, 'zset')
	redis.call('ZADD', key, now + leaseFor, lease)
	redis.call('PEXPIRE', key, leaseFor + 1000)
end
