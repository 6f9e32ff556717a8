-- Apply one batch of one partition: the same decision as streamrec.replay.PartitionState.
-- KEYS[1] is the partition's prefix with its hash tag; every key below starts with it, so all
-- lie in one slot. ARGV: msgpack of {incarnation, generation, next_offset, now}, of the events,
-- and of the settings. Reads are gathered first and writes sent together: fewer calls, less
-- time in which Redis serves nobody else.
local P = KEYS[1]
local head, events, S = cmsgpack.unpack(ARGV[1]), cmsgpack.unpack(ARGV[2]), cmsgpack.unpack(ARGV[3])
local incarnation, generation, next_offset, now = head[1], head[2], head[3], head[4]
local history_len, row_history, seen_max, seen_age, window_rows = S[1], S[2], S[3], S[4], S[5]
local max_bytes, user_cap, item_cap = S[6], S[7], S[8]
local half_lives, co_half_life, co_keep, co_last, landmark = S[9], S[10], S[11], S[12], S[13]
local call = redis.call
local F = P .. ':fence'
local OFFSET, DIGEST, EVENT, USER, ITEM, KIND, TS, SLATE, PROPENSITY, KEY = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10

local function num(x) return string.format('%.17g', x) end

local f = call('HMGET', F, 'incarnation', 'generation', 'next', 'stored', 'duplicates', 'dead',
  'impressions', 'repeats', 'rows', 'bytes', 'threshold', 'watermark', 'seq')
if f[1] ~= incarnation or tonumber(f[2]) ~= generation then
  return redis.error_reply('FENCED generation ' .. tostring(f[2]) .. ' owns this partition')
end
local start = tonumber(f[3] or 0)
local stored, duplicates, dead = tonumber(f[4] or 0), tonumber(f[5] or 0), tonumber(f[6] or 0)
local impressions, repeats, rows = tonumber(f[7] or 0), tonumber(f[8] or 0), tonumber(f[9] or 0)
local bytes, threshold = tonumber(f[10] or 0), tonumber(f[11] or '-inf') or -math.huge
local watermark, seq = tonumber(f[12] or 0), tonumber(f[13] or 0) + 1
local stored_before, duplicates_before = stored, duplicates

-- which are new, which readers and articles they touch
local fresh, digests = {}, {}
for _, e in ipairs(events) do
  if e[OFFSET] >= start then
    if e[KIND] == 'dead' then dead = dead + 1
    else fresh[#fresh + 1] = e; digests[#digests + 1] = e[DIGEST] end
  end
end
local known = #digests > 0 and call('ZMSCORE', P .. ':seen', unpack(digests)) or {}
local in_batch, seen_add, active, users, items = {}, {}, {}, {}, {}
local user_at, item_at = {}, {}
for i, e in ipairs(fresh) do
  if known[i] or in_batch[e[DIGEST]] then
    duplicates = duplicates + 1
  else
    in_batch[e[DIGEST]] = true
    seen_add[#seen_add + 1] = num(now); seen_add[#seen_add + 1] = e[DIGEST]
    stored = stored + 1
    if e[TS] > watermark then watermark = e[TS] end
    if e[KIND] == 'impression' then
      impressions = impressions + 1
    else
      active[#active + 1] = e
      if not user_at[e[USER]] then users[#users + 1] = e[USER]; user_at[e[USER]] = #users end
      if not item_at[e[ITEM]] then items[#items + 1] = e[ITEM]; item_at[e[ITEM]] = #items end
    end
  end
end

local function load(key, fields)
  if #fields == 0 then return {} end
  local found = call('HMGET', key, unpack(fields))
  for i, packed in ipairs(found) do found[i] = packed and cmsgpack.unpack(packed) or nil end
  local out = {}
  for i = 1, #fields do out[fields[i]] = found[i] or false end
  return out
end
local history, popularity = load(P .. ':history', users), load(P .. ':popularity', items)

local function evict(event)
  local packed = call('HGET', P .. ':row', event)
  if not packed then return end
  local row = cmsgpack.unpack(packed)
  call('HDEL', P .. ':row', event)
  call('ZREM', P .. ':reservoir', event)
  call('ZREM', P .. ':of-user:' .. row[2], event)
  call('ZREM', P .. ':of-item:' .. row[3], event)
  bytes = bytes - #packed
end

local function lowest_at_cap(set, cap)
  if call('ZCARD', set) < cap then return nil end
  local low = call('ZRANGE', set, 0, 0, 'WITHSCORES')
  return low[1], tonumber(low[2])
end

local function offer(event, user, item, key, packed)
  if key <= threshold then return end
  local of_user, of_item = P .. ':of-user:' .. user, P .. ':of-item:' .. item
  local user_floor, item_floor = P .. ':user-floor', P .. ':item-floor'
  if key <= (tonumber(call('HGET', user_floor, user) or '') or -math.huge) then return end
  if key <= (tonumber(call('HGET', item_floor, item) or '') or -math.huge) then return end
  if call('HEXISTS', P .. ':row', event) == 1 then return end
  local low_u, key_u = lowest_at_cap(of_user, user_cap)
  if low_u and key < key_u then call('HSET', user_floor, user, num(key)); return end
  local low_i, key_i = lowest_at_cap(of_item, item_cap)
  if low_i and key < key_i then call('HSET', item_floor, item, num(key)); return end
  if low_u then call('HSET', user_floor, user, num(key_u)); evict(low_u) end
  if low_i then call('HSET', item_floor, item, num(key_i)); evict(low_i) end
  local score = num(key)
  call('HSET', P .. ':row', event, packed)
  call('ZADD', P .. ':reservoir', score, event)
  call('ZADD', of_user, score, event)
  call('ZADD', of_item, score, event)
  bytes = bytes + #packed
  while bytes > max_bytes do
    local least = call('ZRANGE', P .. ':reservoir', 0, 0, 'WITHSCORES')
    threshold = tonumber(least[2])
    evict(least[1])
  end
end

local function bump(pop, ts)
  if not pop then pop = {ts, {}, 0}; for i = 1, #half_lives do pop[2][i] = 0 end end
  local dt = ts - pop[1]
  for i, h in ipairs(half_lives) do
    if dt >= 0 then pop[2][i] = pop[2][i] * 2 ^ (-dt / h) + 1
    else pop[2][i] = pop[2][i] + 2 ^ (dt / h) end
  end
  if dt >= 0 then pop[1] = ts end
  pop[3] = pop[3] + 1
  return pop
end

local changed = {}
local function learnable(e, read)
  rows = rows + 1
  local short = {}
  for i = 1, math.min(#read, row_history) do short[i] = read[i] end
  local packed = cmsgpack.pack({e[EVENT], e[USER], e[ITEM], e[KIND], e[TS], short, e[SLATE],
    e[PROPENSITY], e[KEY]})
  call('XADD', P .. ':window', rows .. '-0', 'r', packed)
  popularity[e[ITEM]] = bump(popularity[e[ITEM]], e[TS])
  changed[e[ITEM]] = true
  local weight = num(2 ^ ((e[TS] - landmark) / co_half_life))
  for i = 1, math.min(#read, co_last) do
    local key = P .. ':co:' .. read[i]
    call('ZINCRBY', key, weight, e[ITEM])
    call('ZREMRANGEBYRANK', key, 0, -co_keep - 1)
  end
  offer(e[EVENT], e[USER], e[ITEM], e[KEY], packed)
end

for _, e in ipairs(active) do
  local old, read, rest, is_repeat = history[e[USER]] or {}, {}, {{e[ITEM], e[TS], e[KIND]}}, false
  for _, r in ipairs(old) do
    if r[3] ~= 'dismiss' then
      read[#read + 1] = r[1]
      if r[1] == e[ITEM] then is_repeat = true end
    end
    if r[1] ~= e[ITEM] and #rest < history_len then rest[#rest + 1] = r end
  end
  if e[KIND] ~= 'dismiss' then
    if is_repeat then repeats = repeats + 1 else learnable(e, read) end
  end
  history[e[USER]] = rest
end

local writes = {}
for _, user in ipairs(users) do
  writes[#writes + 1] = user; writes[#writes + 1] = cmsgpack.pack(history[user])
end
if #writes > 0 then call('HSET', P .. ':history', unpack(writes)) end
local pops, seqs = {}, {}
for item in pairs(changed) do
  pops[#pops + 1] = item; pops[#pops + 1] = cmsgpack.pack(popularity[item])
  seqs[#seqs + 1] = seq; seqs[#seqs + 1] = item
end
if #pops > 0 then
  call('HSET', P .. ':popularity', unpack(pops))
  call('ZADD', P .. ':changed', unpack(seqs))
  call('XTRIM', P .. ':window', 'MINID', '=', math.max(1, rows - window_rows + 1) .. '-0')
end
if #seen_add > 0 then call('ZADD', P .. ':seen', unpack(seen_add)) end
call('ZREMRANGEBYSCORE', P .. ':seen', '-inf', '(' .. num(now - seen_age))
call('ZREMRANGEBYRANK', P .. ':seen', 0, -seen_max - 1)
call('HSET', F, 'next', math.max(next_offset, start), 'stored', stored, 'duplicates', duplicates,
  'dead', dead, 'impressions', impressions, 'repeats', repeats, 'rows', rows, 'bytes', bytes,
  'threshold', num(threshold), 'watermark', num(watermark), 'seq', seq)
return {stored - stored_before, duplicates - duplicates_before}
