-- Take a partition for a consumer-group generation. KEYS[1] prefix; ARGV: incarnation, generation,
-- now, and how long a holder may be silent before a lower generation is let in (a group that was
-- deleted in Kafka counts from the start). A recreated topic has a new incarnation: its offsets
-- start anew.
local F = KEYS[1] .. ':fence'
local f = redis.call('HMGET', F, 'incarnation', 'generation', 'next', 'alive')
local now, alive = tonumber(ARGV[3]), tonumber(f[4] or 0)
if f[1] == ARGV[1] and (tonumber(f[2]) or -1) > tonumber(ARGV[2]) and now - alive <= tonumber(ARGV[4]) then
  return redis.error_reply('FENCED generation ' .. f[2] .. ' owns this partition, not ' .. ARGV[2])
end
redis.call('HSET', F, 'incarnation', ARGV[1], 'generation', ARGV[2], 'alive', math.max(now, alive))
if f[1] ~= ARGV[1] then redis.call('HDEL', F, 'next'); return false end
return f[3]
