-- Move the model pointer. KEYS[1] prefix; ARGV: new pointer, expected attempt, fencing token
-- ('' = not under the lease), version, version record ('' = no new version),
-- how many records to keep.
local P = KEYS[1]
if ARGV[3] ~= '' and redis.call('GET', P .. ':lease') ~= ARGV[3] then
  return redis.error_reply('FENCED the lease was lost to another trainer')
end
if (redis.call('GET', P .. ':attempt') or '0') ~= ARGV[2] then
  return redis.error_reply('CONFLICT the pointer moved meanwhile')
end
redis.call('SET', P .. ':pointer', ARGV[1])
redis.call('INCR', P .. ':attempt')
if ARGV[5] ~= '' then
  redis.call('RPUSH', P .. ':versions', ARGV[5])
  redis.call('LTRIM', P .. ':versions', -tonumber(ARGV[6]), -1)
end
return 1
