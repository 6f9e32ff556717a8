-- Texts that wait for the encoder, newest first: {item, text hash, text, …}. KEYS[1] prefix;
-- ARGV: how many. They stay owed until filled; the queue is made again when it ran dry.
local P = KEYS[1]
local out, limit = {}, tonumber(ARGV[1])
if redis.call('LLEN', P .. ':queue') == 0 and redis.call('HLEN', P .. ':owed') > 0 then
  for _, item in ipairs(redis.call('HKEYS', P .. ':owed')) do redis.call('LPUSH', P .. ':queue', item) end
end
while #out < 3 * limit do
  local item = redis.call('LPOP', P .. ':queue')
  if not item then break end
  local text = redis.call('HGET', P .. ':owed', item)
  if text then
    out[#out + 1] = item; out[#out + 1] = redis.call('HGET', P .. ':hash', item); out[#out + 1] = text
  end
end
return out
