-- Add or replace articles. KEYS[1] prefix; ARGV: item, entry, vector, item, entry, vector, …
local P = KEYS[1]
local seq = redis.call('INCR', P .. ':seq')
for i = 1, #ARGV, 3 do
  redis.call('HSET', P .. ':entry', ARGV[i], ARGV[i + 1])
  redis.call('HSET', P .. ':vector', ARGV[i], ARGV[i + 2])
  redis.call('ZADD', P .. ':changed', seq, ARGV[i])
  redis.call('ZREM', P .. ':removed', ARGV[i])
end
return seq
