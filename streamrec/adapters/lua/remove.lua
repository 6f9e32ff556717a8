-- Remove articles. KEYS[1] prefix; ARGV: item ids. A reader learns of it from `removed`.
local P = KEYS[1]
local seq = redis.call('INCR', P .. ':seq')
for _, item in ipairs(ARGV) do
  if redis.call('HDEL', P .. ':entry', item) == 1 then
    for _, name in ipairs({'hash', 'vector', 'text', 'explored'}) do redis.call('HDEL', P .. ':' .. name, item) end
    redis.call('SREM', P .. ':owed', item)
    redis.call('ZREM', P .. ':changed', item)
    redis.call('ZADD', P .. ':removed', seq, item)
  end
end
return seq
