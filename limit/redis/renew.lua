-- Renews leases, those too that were forgotten. KEYS: their gauges. ARGV: the
-- time after which it is too late, and the leases.

if now > tonumber(ARGV[1]) then return {-1, now} end
for i, key in ipairs(KEYS) do lend(key, ARGV[i + 1]) end
return {1, now}
