-- Change the rules at once. KEYS[1] prefix; ARGV: how many to put, then id, rule, …, then ids to remove.
local P, puts = KEYS[1], tonumber(ARGV[1])
for i = 0, puts - 1 do redis.call('HSET', P .. ':all', ARGV[2 + 2 * i], ARGV[3 + 2 * i]) end
for i = 2 + 2 * puts, #ARGV do redis.call('HDEL', P .. ':all', ARGV[i]) end
return redis.call('INCR', P .. ':version')
