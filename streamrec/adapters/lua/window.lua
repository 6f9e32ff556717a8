-- Rows after an ordinal: {ordinal of the first one returned, row, row, …}.
-- KEYS[1] prefix; ARGV: last ordinal taken, limit.
local W = KEYS[1] .. ':window'
local made = tonumber(redis.call('HGET', KEYS[1] .. ':fence', 'rows') or 0)
local first = made - redis.call('LLEN', W) + 1
local from = math.max(tonumber(ARGV[1]) + 1, first)
local out = redis.call('LRANGE', W, from - first, from - first + tonumber(ARGV[2]) - 1)
table.insert(out, 1, from)
return out
