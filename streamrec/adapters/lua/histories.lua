-- Histories of readers as they are at one instant: {items of each, stamps of each}.
-- KEYS[1] prefix; ARGV: readers, no more than Lua can unpack (some 7,000).
return {
  redis.call('HMGET', KEYS[1] .. ':history', unpack(ARGV)),
  redis.call('HMGET', KEYS[1] .. ':history-at', unpack(ARGV)),
}
