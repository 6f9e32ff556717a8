-- Add or replace articles. KEYS[1] prefix; ARGV: item, entry, text hash, vector, text owed
-- ('' when the vector is that of the text), and so on.
local P = KEYS[1]
local seq = redis.call('INCR', P .. ':seq')
for i = 1, #ARGV, 5 do
  local item = ARGV[i]
  redis.call('HSET', P .. ':entry', item, ARGV[i + 1])
  redis.call('HSET', P .. ':hash', item, ARGV[i + 2])
  redis.call('HSET', P .. ':vector', item, ARGV[i + 3])
  if ARGV[i + 4] == '' then redis.call('HDEL', P .. ':owed', item)
  else
    redis.call('HSET', P .. ':owed', item, ARGV[i + 4])
    redis.call('LPUSH', P .. ':queue', item)
  end
  redis.call('ZADD', P .. ':changed', seq, item)
  redis.call('ZREM', P .. ':removed', item)
end
return seq
