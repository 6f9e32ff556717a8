-- Add or replace articles. KEYS[1] prefix; ARGV: a zero vector, then item, entry, text hash, text
-- owed, and so on. '' as the text owed: nothing new to read, so an article with the same text keeps
-- its vector, or its place in the queue; one whose text has become another gets the zero vector.
local P = KEYS[1]
local seq, zero = redis.call('INCR', P .. ':seq'), ARGV[1]
for i = 2, #ARGV, 4 do
  local item, owed = ARGV[i], ARGV[i + 3]
  local same = redis.call('HGET', P .. ':hash', item) == ARGV[i + 2]
  redis.call('HSET', P .. ':entry', item, ARGV[i + 1])
  redis.call('HSET', P .. ':hash', item, ARGV[i + 2])
  if owed ~= '' or not same then redis.call('HSET', P .. ':vector', item, zero) end
  if owed ~= '' then
    redis.call('HSET', P .. ':text', item, owed)
    redis.call('SADD', P .. ':owed', item)
    redis.call('LPUSH', P .. ':queue', item)
  elseif not same then
    redis.call('HDEL', P .. ':text', item)
    redis.call('SREM', P .. ':owed', item)
  end
  redis.call('ZADD', P .. ':changed', seq, item)
  redis.call('ZREM', P .. ':removed', item)
end
return seq
