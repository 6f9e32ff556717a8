-- Count impressions that explored. KEYS[1] prefix; ARGV: item, how many, … The totals, in order; 0 of
-- articles that are not live.
local P = KEYS[1]
local totals = {}
for i = 1, #ARGV, 2 do
  local live = redis.call('HEXISTS', P .. ':entry', ARGV[i]) == 1
  totals[#totals + 1] = live and redis.call('HINCRBY', P .. ':explored', ARGV[i], ARGV[i + 1]) or 0
end
return totals
