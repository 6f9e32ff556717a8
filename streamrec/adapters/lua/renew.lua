-- Hold (ttl > 0) or give back (ttl = 0) the lease. KEYS[1] prefix; ARGV: token, ttl in ms.
local L = KEYS[1] .. ':lease'
if redis.call('GET', L) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('DEL', L) else redis.call('PEXPIRE', L, ARGV[2]) end
return 1
