-- Texts that wait for the encoder, newest first: {item, text hash, text, …}. KEYS[1] prefix;
-- ARGV: how many. They stay owed until filled; the queue is made again when it ran dry.
local P = KEYS[1]
local out, limit = {}, tonumber(ARGV[1])
if redis.call('LLEN', P .. ':queue') == 0 and redis.call('SCARD', P .. ':owed') > 0 then
  for _, item in ipairs(redis.call('SMEMBERS', P .. ':owed')) do redis.call('LPUSH', P .. ':queue', item) end
end
while #out < 3 * limit do
  local item = redis.call('LPOP', P .. ':queue')
  if not item then break end
  if redis.call('SISMEMBER', P .. ':owed', item) == 1 then
    for _, of in ipairs({item, redis.call('HGET', P .. ':hash', item), redis.call('HGET', P .. ':text', item)}) do
      out[#out + 1] = of
    end
  end
end
return out
