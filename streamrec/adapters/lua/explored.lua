-- Count impressions that explored. KEYS[1] prefix; ARGV: item, how many, … The totals, in order; 0 of
-- articles that are not live.
local P = KEYS[1]
local totals = {}
for i = 1, #ARGV, 2 do
  local live = redis.call('HEXISTS', P .. ':entry', ARGV[i]) == 1
  if live and tonumber(ARGV[i + 1]) > 0 then
    totals[#totals + 1] = redis.call('HINCRBY', P .. ':explored', ARGV[i], ARGV[i + 1])
  else
    totals[#totals + 1] = live and tonumber(redis.call('HGET', P .. ':explored', ARGV[i])) or 0
  end
end
return totals
