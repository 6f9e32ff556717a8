-- Apply one batch of one partition: the same decision as streamrec.replay.PartitionState.
-- KEYS[1] is the partition's prefix with its hash tag; every key below starts with it, so all
-- lie in one slot. ARGV: msgpack of {incarnation, generation, next_offset, now}, of the events,
-- and of the settings. A script blocks every other client, so what a batch touches is read in
-- few calls, decided in Lua tables, and written in few calls.
local P = KEYS[1]
local head, events, S = cmsgpack.unpack(ARGV[1]), cmsgpack.unpack(ARGV[2]), cmsgpack.unpack(ARGV[3])
local incarnation, generation, next_offset, now = head[1], head[2], head[3], head[4]
local history_len, row_history, seen_max, seen_age, window_rows = S[1], S[2], S[3], S[4], S[5]
local max_bytes, user_cap, item_cap, half_lives, slack = S[6], S[7], S[8], S[9], S[10]
local call, pack, unpacked = redis.call, cmsgpack.pack, cmsgpack.unpack
local F = P .. ':fence'
local OFFSET, DIGEST, EVENT, USER, ITEM, KIND, TS, SLATE, PROPENSITY, KEY = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
local MEMBER = 24 -- bytes of one owner's member: its key as a double, then its digest

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

-- which events are new, and which readers and articles they touch
local fresh, digests = {}, {}
for _, e in ipairs(events) do
  if e[OFFSET] >= start then
    if e[KIND] == 'dead' then dead = dead + 1
    else fresh[#fresh + 1] = e; digests[#digests + 1] = e[DIGEST] end
  end
end
local known = #digests > 0 and call('ZMSCORE', P .. ':seen', unpack(digests)) or {}
local in_batch, seen_add, active, users, items, wanted = {}, {}, {}, {}, {}, {}
local user_at, item_at, now_text = {}, {}, num(now)
for i, e in ipairs(fresh) do
  if known[i] or in_batch[e[DIGEST]] then
    duplicates = duplicates + 1
  else
    in_batch[e[DIGEST]] = true
    seen_add[#seen_add + 1] = now_text; seen_add[#seen_add + 1] = e[DIGEST]
    stored = stored + 1
    if e[TS] > watermark then watermark = e[TS] end
    if e[KIND] == 'impression' then
      impressions = impressions + 1
    else
      active[#active + 1] = e
      wanted[#wanted + 1] = e[DIGEST]
      if not user_at[e[USER]] then users[#users + 1] = e[USER]; user_at[e[USER]] = true end
      if not item_at[e[ITEM]] then items[#items + 1] = e[ITEM]; item_at[e[ITEM]] = true end
    end
  end
end

local function load(key, fields)
  local out = {}
  if #fields == 0 then return out end
  for i, value in ipairs(call('HMGET', key, unpack(fields))) do out[fields[i]] = value end
  return out
end
local history, popularity = load(P .. ':history', users), load(P .. ':popularity', items)
local floors = {load(P .. ':user-floor', users), load(P .. ':item-floor', items)}
local members = {load(P .. ':of-user', users), load(P .. ':of-item', items)}
local member_keys, floor_keys = {P .. ':of-user', P .. ':of-item'}, {P .. ':user-floor', P .. ':item-floor'}
local members_changed, floors_changed, caps = {{}, {}}, {{}, {}}, {user_cap, item_cap}
local inside = #wanted > 0 and call('ZMSCORE', P .. ':reservoir', unpack(wanted)) or {}

-- the reservoir: rows by digest, and for each reader and article a string of its members
local new_rows, gone = {}, {}

local function of(i, owner)
  if members[i][owner] == nil then members[i][owner] = call('HGET', member_keys[i], owner) end
  return members[i][owner] or ''
end

local function set_members(i, owner, text)
  members[i][owner] = text
  members_changed[i][owner] = true
end

local function evict(digest)
  local row = new_rows[digest]
  if row == false then return end
  if row then new_rows[digest] = false
  else
    local stored_row = call('HGET', P .. ':row', digest)
    if not stored_row then return end
    gone[#gone + 1] = digest
    local r = unpacked(stored_row)
    row = {stored_row, r[2], r[3]}
    new_rows[digest] = false
  end
  bytes = bytes - #row[1]
  for i = 1, 2 do
    local text = of(i, row[i + 1])
    local at = text:find(digest, 1, true)
    if at then set_members(i, row[i + 1], text:sub(1, at - 9) .. text:sub(at + 16)) end
  end
end

local function lowest_at_cap(i, owner)
  local text = of(i, owner)
  if #text < caps[i] * MEMBER then return nil end
  local low, low_key
  for at = 1, #text, MEMBER do
    local key = struct.unpack('<d', text:sub(at, at + 7))
    if not low or key < low_key then low, low_key = text:sub(at + 8, at + 23), key end
  end
  return low, low_key
end

local function floor_of(i, owner) return tonumber(floors[i][owner] or '') or -math.huge end
local function raise(i, owner, key) floors[i][owner] = num(key); floors_changed[i][owner] = true end

local function offer(e, packed)
  local key, owners = e[KEY], {e[USER], e[ITEM]}
  if key <= threshold or key <= floor_of(1, owners[1]) or key <= floor_of(2, owners[2]) then return end
  local low_u, key_u = lowest_at_cap(1, owners[1])
  local low_i, key_i = lowest_at_cap(2, owners[2])
  if low_u and key < key_u then return raise(1, owners[1], key) end
  if low_i and key < key_i then return raise(2, owners[2], key) end
  if low_u then raise(1, owners[1], key_u); evict(low_u) end
  if low_i then raise(2, owners[2], key_i); evict(low_i) end
  local member = struct.pack('<d', key) .. e[DIGEST]
  set_members(1, owners[1], of(1, owners[1]) .. member)
  set_members(2, owners[2], of(2, owners[2]) .. member)
  new_rows[e[DIGEST]] = {packed, owners[1], owners[2], key}
  bytes = bytes + #packed
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

local changed, window = {}, {}
local function learnable(e, recent, is_inside)
  rows = rows + 1
  local packed = pack({e[EVENT], e[USER], e[ITEM], e[KIND], e[TS], recent, e[SLATE], e[PROPENSITY], e[KEY]})
  window[#window + 1] = packed
  local pop = popularity[e[ITEM]]
  if type(pop) == 'string' then pop = unpacked(pop) end
  popularity[e[ITEM]] = bump(pop, e[TS])
  changed[e[ITEM]] = true
  if not is_inside then offer(e, packed) end
end

-- A history is text, newest first: three digits of its length, then for each entry
-- item FIELD time FIELD kind END. Text is prepended, searched and cut without building tables.
local FIELD, END = '\31', '\30'
local function after(text, entries)
  local at = 4
  for _ = 1, entries do
    local stop = text:find(END, at, true)
    if not stop then break end
    at = stop + 1
  end
  return at
end

for n, e in ipairs(active) do
  local text = history[e[USER]] or '000'
  local count = tonumber(text:sub(1, 3))
  local from, to = text:find(END .. e[ITEM] .. FIELD, 4, true)
  if not from and text:sub(4, 4 + #e[ITEM]) == e[ITEM] .. FIELD then from, to = 3, 4 + #e[ITEM] end
  local dismissed = false
  if from then
    local stop = text:find(END, to, true)
    dismissed = text:sub(stop - 7, stop - 1) == 'dismiss'
  end
  if e[KIND] ~= 'dismiss' then
    if from and not dismissed then repeats = repeats + 1
    else learnable(e, text:sub(4, after(text, row_history) - 1), inside[n]) end
  end
  if from then
    text = text:sub(1, from) .. text:sub(text:find(END, to, true) + 1)
    count = count - 1
  end
  local entry = e[ITEM] .. FIELD .. num(e[TS]) .. FIELD .. e[KIND] .. END
  if count + 1 > history_len + slack then
    text, count = text:sub(1, after(text, history_len - 1) - 1), history_len - 1
  end
  history[e[USER]] = string.format('%03d', count + 1) .. entry .. text:sub(4)
end

-- write what changed
local function in_slices(command, key, fields) -- unpack takes 8,000 at most
  for from = 1, #fields, 1000 do
    call(command, key, unpack(fields, from, math.min(from + 999, #fields)))
  end
end
local function put(key, fields) in_slices('HSET', key, fields) end
local function pairs_of(set, value)
  local out = {}
  for name in pairs(set) do out[#out + 1] = name; out[#out + 1] = value(name) end
  return out
end
put(P .. ':history', pairs_of(user_at, function(u) return history[u] end))
put(P .. ':popularity', pairs_of(changed, function(i) return pack(popularity[i]) end))
local seqs, row_fields, scores = {}, {}, {}
for item in pairs(changed) do seqs[#seqs + 1] = seq; seqs[#seqs + 1] = item end
if #seqs > 0 then call('ZADD', P .. ':changed', unpack(seqs)) end
if #window > 0 then
  call('RPUSH', P .. ':window', unpack(window))
  call('LTRIM', P .. ':window', -window_rows, -1)
end
for digest, row in pairs(new_rows) do
  if row then
    row_fields[#row_fields + 1] = digest; row_fields[#row_fields + 1] = row[1]
    scores[#scores + 1] = num(row[4]); scores[#scores + 1] = digest
  end
end
put(P .. ':row', row_fields)
if #scores > 0 then call('ZADD', P .. ':reservoir', unpack(scores)) end
if #gone > 0 then call('ZREM', P .. ':reservoir', unpack(gone)); call('HDEL', P .. ':row', unpack(gone)) end
new_rows, gone = {}, {} -- all in Redis now: settle the byte budget there
while bytes > max_bytes do
  local least = call('ZPOPMIN', P .. ':reservoir')
  threshold = tonumber(least[2])
  evict(least[1])
end
in_slices('HDEL', P .. ':row', gone) -- many when the budget was made smaller
for i = 1, 2 do
  local kept, empty = {}, {}
  for owner in pairs(members_changed[i]) do
    local text = members[i][owner]
    if text == '' then empty[#empty + 1] = owner
    else kept[#kept + 1] = owner; kept[#kept + 1] = text end
  end
  put(member_keys[i], kept)
  in_slices('HDEL', member_keys[i], empty)
  put(floor_keys[i], pairs_of(floors_changed[i], function(o) return floors[i][o] end))
end
if #seen_add > 0 then call('ZADD', P .. ':seen', unpack(seen_add)) end
call('ZREMRANGEBYSCORE', P .. ':seen', '-inf', '(' .. num(now - seen_age))
call('ZREMRANGEBYRANK', P .. ':seen', 0, -seen_max - 1)
call('HSET', F, 'next', math.max(next_offset, start), 'stored', stored, 'duplicates', duplicates,
  'dead', dead, 'impressions', impressions, 'repeats', repeats, 'rows', rows, 'bytes', bytes,
  'threshold', num(threshold), 'watermark', num(watermark), 'seq', seq)
return {stored - stored_before, duplicates - duplicates_before}
