-- Apply one batch of one partition: the same decision as streamrec.replay.PartitionState.
-- KEYS[1] is the partition's prefix with its hash tag; every key below starts with it, so all
-- lie in one slot. ARGV: msgpack of {incarnation, generation, next_offset, now}, of the events,
-- and of the settings; then for each event that could make a row, its packed row but for the
-- last element, the history. A script blocks every other client, so what a batch touches is read
-- in few calls, decided in Lua tables, and written in few calls; what costs most is making
-- strings, so whatever can be made ready by the caller is.
local P = KEYS[1]
local head, events, S = cmsgpack.unpack(ARGV[1]), cmsgpack.unpack(ARGV[2]), cmsgpack.unpack(ARGV[3])
local incarnation, generation, next_offset, now = head[1], head[2], head[3], head[4]
local history_len, row_history, seen_max, seen_age, window_rows = S[1], S[2], S[3], S[4], S[5]
local max_bytes, user_cap, item_cap, half_lives, slack = S[6], S[7], S[8], S[9], S[10]
local call, pack, unpacked = redis.call, cmsgpack.pack, cmsgpack.unpack
local double, find, sub = struct.pack, string.find, string.sub
local F = P .. ':fence'
local OFFSET, KIND, DIGEST, TS, USER, ITEM, KEY, ROW = 1, 2, 3, 4, 5, 6, 7, 8
local DEAD, IMPRESSION, DISMISS = 'x', 'i', 'd' -- other kinds: see KINDS in redis_buffer.py
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
local fresh, digests, row_at = {}, {}, 3
for n = 1, #events do
  local e = events[n]
  local kind = e[KIND]
  if kind ~= DEAD and kind ~= IMPRESSION then row_at = row_at + 1; e[ROW] = ARGV[row_at] end
  if e[OFFSET] >= start then
    if kind == DEAD then dead = dead + 1
    else fresh[#fresh + 1] = e; digests[#digests + 1] = e[DIGEST] end
  end
end
local known = #digests > 0 and call('ZMSCORE', P .. ':seen', unpack(digests)) or {}
local in_batch, seen_add, active, users, user_at = {}, {}, {}, {}, {}
local now_text = num(now)
for i = 1, #fresh do
  local e, digest = fresh[i], digests[i]
  if known[i] or in_batch[digest] then
    duplicates = duplicates + 1
  else
    in_batch[digest] = true
    seen_add[#seen_add + 1] = now_text; seen_add[#seen_add + 1] = digest
    stored = stored + 1
    if e[TS] > watermark then watermark = e[TS] end
    if e[KIND] == IMPRESSION then
      impressions = impressions + 1
    else
      local user = e[USER]
      active[#active + 1] = e
      if not user_at[user] then users[#users + 1] = user; user_at[user] = true end
    end
  end
end

local function load(key, fields)
  local out = {}
  if #fields == 0 then return out end
  for i, value in ipairs(call('HMGET', key, unpack(fields))) do out[fields[i]] = value end
  return out
end
-- A history is two strings, newest first: the items, each between two ENDs and one dismissed
-- with a mark before it, and for each a STAMP of its time as a double and its kind.
local END, MARK, STAMP = '\30', '\29', 9
local items_of, stamps_of = load(P .. ':history', users), load(P .. ':history-at', users)

local function after(items, entries) -- where the END behind so many entries is
  local at = 1
  for _ = 1, entries do
    local stop = find(items, END, at + 1, true)
    if not stop then break end
    at = stop
  end
  return at
end

local function place(items, from) -- how many entries lie before the one at `from`
  local n, at = 0, find(items, END, 1, true)
  while at < from do n, at = n + 1, find(items, END, at + 1, true) end
  return n
end

local rows_made, window, touched, touched_at = {}, {}, {}, {}
for n = 1, #active do
  local e = active[n]
  local user, item, kind = e[USER], e[ITEM], e[KIND]
  local items, stamps = items_of[user] or END, stamps_of[user] or ''
  local from, to = find(items, END .. item .. END, 1, true)
  local read_before = from
  if not from and find(items, MARK, 1, true) then
    from, to = find(items, END .. MARK .. item .. END, 1, true)
  end
  if kind == DISMISS then item = MARK .. item
  elseif read_before then repeats = repeats + 1
  else
    rows = rows + 1
    local recent = items
    if #stamps > row_history * STAMP then recent = sub(items, 1, after(items, row_history)) end
    local packed = e[ROW] .. pack(recent)
    window[#window + 1] = packed
    e[ROW] = packed
    rows_made[#rows_made + 1] = e
    if not touched_at[item] then touched[#touched + 1] = item; touched_at[item] = true end
  end
  if from then
    local at = place(items, from) * STAMP
    items = sub(items, 1, from - 1) .. sub(items, to)
    stamps = sub(stamps, 1, at) .. sub(stamps, at + STAMP + 1)
  end
  if #stamps >= (history_len + slack) * STAMP then -- cut seldom: a cut copies the history
    items, stamps = sub(items, 1, after(items, history_len - 1)), sub(stamps, 1, (history_len - 1) * STAMP)
  end
  items_of[user] = END .. item .. items
  stamps_of[user] = double('<d', e[TS]) .. kind .. stamps
end

-- first reads are popularity
local popularity = load(P .. ':popularity', touched)
local function bump(pop, ts)
  if not pop then pop = {ts, {}, 0}; for i = 1, #half_lives do pop[2][i] = 0 end end
  local dt, values = ts - pop[1], pop[2]
  for i = 1, #half_lives do
    if dt >= 0 then values[i] = values[i] * 2 ^ (-dt / half_lives[i]) + 1
    else values[i] = values[i] + 2 ^ (dt / half_lives[i]) end
  end
  if dt >= 0 then pop[1] = ts end
  pop[3] = pop[3] + 1
  return pop
end
for n = 1, #rows_made do
  local e = rows_made[n]
  local pop = popularity[e[ITEM]]
  if type(pop) == 'string' then pop = unpacked(pop) end
  popularity[e[ITEM]] = bump(pop, e[TS])
end

-- The reservoir: rows by digest, and for each reader and article a string of its members. Only
-- rows above the threshold can come in, and once it is full they are few: the rest costs nothing.
local offered, owners_of, inside = {}, {{}, {}}, {}
do
  local wanted, named = {}, {{}, {}}
  for n = 1, #rows_made do
    local e = rows_made[n]
    if e[KEY] > threshold then
      offered[#offered + 1] = e
      wanted[#wanted + 1] = e[DIGEST]
      for i = 1, 2 do
        local owner = e[USER + i - 1]
        if not named[i][owner] then named[i][owner] = true; table.insert(owners_of[i], owner) end
      end
    end
  end
  if #wanted > 0 then inside = call('ZMSCORE', P .. ':reservoir', unpack(wanted)) end
end
local member_keys, floor_keys = {P .. ':of-user', P .. ':of-item'}, {P .. ':user-floor', P .. ':item-floor'}
local floors = {load(floor_keys[1], owners_of[1]), load(floor_keys[2], owners_of[2])}
local members = {load(member_keys[1], owners_of[1]), load(member_keys[2], owners_of[2])}
local members_changed, floors_changed, caps = {{}, {}}, {{}, {}}, {user_cap, item_cap}
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
    local _, _, user, item = cmsgpack.unpack_limit(stored_row, 3, 1) -- not the rest of the row
    row = {stored_row, user, item}
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

local function offer(e)
  local key, packed, owners = e[KEY], e[ROW], {e[USER], e[ITEM]}
  if key <= floor_of(1, owners[1]) or key <= floor_of(2, owners[2]) then return end
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

for n = 1, #offered do
  if not inside[n] then offer(offered[n]) end
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
local function both(key, names, values) -- the same names in order, with their values
  local out = {}
  for n = 1, #names do out[2 * n - 1] = names[n]; out[2 * n] = values(names[n]) end
  put(key, out)
end
both(P .. ':history', users, function(u) return items_of[u] end)
both(P .. ':history-at', users, function(u) return stamps_of[u] end)
both(P .. ':popularity', touched, function(i) return pack(popularity[i]) end)
local seqs, row_fields, scores = {}, {}, {}
for n = 1, #touched do seqs[2 * n - 1] = seq; seqs[2 * n] = touched[n] end
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
