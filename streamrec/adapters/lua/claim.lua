-- Take a partition for a consumer-group generation: KEYS[1] prefix, ARGV incarnation, generation.
-- A recreated topic has a new incarnation: its offsets start anew.
local F = KEYS[1] .. ':fence'
local f = redis.call('HMGET', F, 'incarnation', 'generation', 'next')
if f[1] == ARGV[1] and tonumber(f[2]) > tonumber(ARGV[2]) then
  return redis.error_reply('FENCED generation ' .. f[2] .. ' owns this partition, not ' .. ARGV[2]
    .. '; after deleting the consumer group, HDEL ' .. F .. ' generation')
end
redis.call('HSET', F, 'incarnation', ARGV[1], 'generation', ARGV[2])
if f[1] ~= ARGV[1] then redis.call('HDEL', F, 'next'); return false end
return f[3]
