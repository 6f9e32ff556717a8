-- Give articles the vectors of their texts. KEYS[1] prefix; ARGV: item, text hash, vector, …
-- A text that changed while it was encoded keeps its place in the queue.
local P = KEYS[1]
local seq = redis.call('INCR', P .. ':seq')
for i = 1, #ARGV, 3 do
  if redis.call('HGET', P .. ':hash', ARGV[i]) == ARGV[i + 1] then
    redis.call('HSET', P .. ':vector', ARGV[i], ARGV[i + 2])
    redis.call('SREM', P .. ':owed', ARGV[i])
    redis.call('ZADD', P .. ':changed', seq, ARGV[i])
  end
end
return seq
