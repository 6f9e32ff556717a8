-- Take the lease: a fencing token larger than all before, or false when it is held.
-- KEYS[1] prefix; ARGV: time to live in ms.
local P = KEYS[1]
if redis.call('EXISTS', P .. ':lease') == 1 then return false end
local token = redis.call('INCR', P .. ':token')
redis.call('SET', P .. ':lease', token, 'PX', ARGV[1])
return token
