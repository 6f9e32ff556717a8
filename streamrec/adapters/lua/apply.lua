-- Apply one batch of one partition: the same decision as streamrec.replay.PartitionState.
-- KEYS[1] is the partition's prefix with its hash tag; every key below starts with it, so all
-- lie in one slot. ARGV: msgpack of {incarnation, generation, next_offset, now}, of the events'
-- columns, and of the settings; then, for each event that could make a row, its packed row but for
-- the last element, the history. A script blocks every other client, so what a batch touches is
-- read in few calls, decided in Lua tables, and written in few calls; what costs most is making
-- and freeing strings and tables, so events come in columns and rows come packed.
local P = KEYS[1]
local head, E, S = cmsgpack.unpack(ARGV[1]), cmsgpack.unpack(ARGV[2]), cmsgpack.unpack(ARGV[3])
local incarnation, generation, next_offset, now = head[1], head[2], head[3], head[4]
local history_len, row_history, seen_max, seen_age, window_rows = S[1], S[2], S[3], S[4], S[5]
local max_bytes, user_cap, item_cap, half_lives, slack = S[6], S[7], S[8], S[9], S[10]
local call, pack = redis.call, cmsgpack.pack
local packed_as, find, sub = struct.pack, string.find, string.sub
local F = P .. ':fence'
-- offsets of all events, their kinds as one text; of all but dead letters digests and times; of
-- those that are not impressions either readers, articles and reservoir keys
local offsets, kinds, digest_of, ts_of, user_of, item_of, key_of = E[1], E[2], E[3], E[4], E[5], E[6], E[7]
local DEAD, IMPRESSION, DISMISS = 'x', 'i', 'd' -- other kinds: see KINDS in redis_buffer.py
local MEMBER = 24 -- bytes of one owner's member: its key as a double, then its digest

local f = call('HMGET', F, 'incarnation', 'generation', 'next', 'stored', 'duplicates', 'dead',
  'impressions', 'repeats', 'rows', 'bytes', 'threshold', 'watermark', 'seq', 'seen-turn', 'seen-n',
  'seen-since')
if f[1] ~= incarnation or tonumber(f[2]) ~= generation then
  return redis.error_reply('FENCED generation ' .. tostring(f[2]) .. ' owns this partition')
end
local start = tonumber(f[3] or 0)
local stored, duplicates, dead = tonumber(f[4] or 0), tonumber(f[5] or 0), tonumber(f[6] or 0)
local impressions, repeats, rows = tonumber(f[7] or 0), tonumber(f[8] or 0), tonumber(f[9] or 0)
local bytes, threshold = tonumber(f[10] or 0), tonumber(f[11] or '-inf') or -math.huge
local watermark, seq = tonumber(f[12] or 0), tonumber(f[13] or 0) + 1
local stored_before, duplicates_before = stored, duplicates
-- Known event ids are two sets that take turns: when the newer has half of what may be
-- remembered, or half the age, the older is forgotten.
local turn, seen_n, seen_since = tonumber(f[14] or 0), tonumber(f[15] or 0), tonumber(f[16] or now)
if seen_n >= seen_max / 2 or now - seen_since >= seen_age / 2 then
  turn, seen_n, seen_since = 1 - turn, 0, now
  call('UNLINK', P .. ':seen-' .. turn)
end
local seen, seen_before = P .. ':seen-' .. turn, P .. ':seen-' .. (1 - turn)

-- which events are new, and which readers they touch
local fresh, fresh_action, digests = {}, {}, {} -- places in the columns
local event, action, kind_at = 0, 0, {}
for n = 1, #offsets do
  local kind, new = sub(kinds, n, n), offsets[n] >= start
  if kind == DEAD then
    if new then dead = dead + 1 end
  else
    event = event + 1
    if kind ~= IMPRESSION then action = action + 1; kind_at[action] = kind end
    if new then
      fresh[#fresh + 1] = event
      fresh_action[#fresh] = kind ~= IMPRESSION and action
      digests[#digests + 1] = digest_of[event]
    end
  end
end
local known, known_before = {}, {}
if #digests > 0 then
  known, known_before = call('SMISMEMBER', seen, unpack(digests)), call('SMISMEMBER', seen_before, unpack(digests))
end
local in_batch, seen_add, active, users, user_at = {}, {}, {}, {}, {}
local digest_at, time_at = {}, {} -- of an action
for i = 1, #fresh do
  local digest, n = digests[i], fresh_action[i]
  if known[i] == 1 or known_before[i] == 1 or in_batch[digest] then
    duplicates = duplicates + 1
  else
    local ts = ts_of[fresh[i]]
    in_batch[digest] = true
    seen_add[#seen_add + 1] = digest
    stored = stored + 1
    if ts > watermark then watermark = ts end
    if not n then
      impressions = impressions + 1
    else
      local user = user_of[n]
      active[#active + 1] = n
      digest_at[n], time_at[n] = digest, ts
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

local rows_made, row_of, window, touched, touched_at = {}, {}, {}, {}, {}
for a = 1, #active do
  local n = active[a]
  local user, item = user_of[n], item_of[n]
  local kind = kind_at[n]
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
    local packed = ARGV[n + 3] .. pack(recent)
    window[#window + 1] = packed
    row_of[n] = packed
    rows_made[#rows_made + 1] = n
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
  stamps_of[user] = packed_as('<d', time_at[n]) .. kind .. stamps
end

-- first reads are popularity: as doubles the time, a decayed count for each half-life, the total
local popularity, TOTAL = load(P .. ':popularity', touched), #half_lives + 2
local doubles = '<' .. string.rep('d', TOTAL)
local function counter(item, ts)
  local pop = popularity[item]
  if type(pop) == 'table' then return pop end
  if pop then pop = {struct.unpack(doubles, pop)}
  else
    pop = {ts}
    for i = 2, TOTAL do pop[i] = 0 end
  end
  popularity[item] = pop
  return pop
end
for a = 1, #rows_made do
  local item, ts = item_of[rows_made[a]], time_at[rows_made[a]]
  local pop = counter(item, ts)
  local dt = ts - pop[1]
  for i = 2, TOTAL - 1 do
    if dt >= 0 then pop[i] = pop[i] * 2 ^ (-dt / half_lives[i - 1]) + 1
    else pop[i] = pop[i] + 2 ^ (dt / half_lives[i - 1]) end
  end
  if dt >= 0 then pop[1] = ts end
  pop[TOTAL] = pop[TOTAL] + 1
end

-- The reservoir: rows by digest, and for each reader and article a string of its members, lowest
-- key first. Whom the budget turns away is not taken out of these strings: a key at or below the
-- threshold is gone by that. Only rows above the threshold can come in, and once the reservoir is
-- full they are few: the rest costs nothing.
local offered, owners_of, inside = {}, {{}, {}}, {}
do
  local wanted, named = {}, {{}, {}}
  for a = 1, #rows_made do
    local n = rows_made[a]
    if key_of[n] > threshold then
      offered[#offered + 1] = n
      wanted[#wanted + 1] = digest_at[n]
      for i = 1, 2 do
        local owner = i == 1 and user_of[n] or item_of[n]
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

local function key_at(text, at) return (struct.unpack('<d', text, at)) end

local function of(i, owner) -- the members that are still there
  local text = members[i][owner]
  if text == nil then text = call('HGET', member_keys[i], owner) end
  text = text or ''
  local at = 1
  while at < #text and key_at(text, at) <= threshold do at = at + MEMBER end
  if at > 1 then text = sub(text, at) end
  members[i][owner] = text
  return text
end

local function set_members(i, owner, text)
  members[i][owner] = text
  members_changed[i][owner] = true
end

local function join(i, owner, key, digest)
  local text = of(i, owner)
  local low, high = 0, #text / MEMBER -- so many are lower
  while low < high do
    local middle = math.floor((low + high) / 2)
    if key_at(text, middle * MEMBER + 1) < key then low = middle + 1 else high = middle end
  end
  local at = low * MEMBER
  set_members(i, owner, sub(text, 1, at) .. packed_as('<d', key) .. digest .. sub(text, at + 1))
end

local function leave(i, owner, digest)
  local text = of(i, owner)
  local at = find(text, digest, 1, true)
  if at then set_members(i, owner, sub(text, 1, at - 9) .. sub(text, at + 16)) end
end

local function evict(digest) -- for a cap
  local n = new_rows[digest]
  if n == false then return end
  local row, user, item
  if n then row, user, item = row_of[n], user_of[n], item_of[n]
  else
    row = call('HGET', P .. ':row', digest)
    local _
    _, _, user, item = cmsgpack.unpack_limit(row, 3, 1) -- no more of the row than its owners
    gone[#gone + 1] = digest
  end
  new_rows[digest] = false
  bytes = bytes - #row
  leave(1, user, digest)
  leave(2, item, digest)
end

local function lowest_at_cap(i, owner)
  local text = of(i, owner)
  if #text < caps[i] * MEMBER then return nil end
  return sub(text, 9, MEMBER), key_at(text, 1)
end

local function floor_of(i, owner) return tonumber(floors[i][owner] or -math.huge) end
local function raise(i, owner, key) floors[i][owner] = key; floors_changed[i][owner] = true end

local function offer(n)
  local key, digest, user, item = key_of[n], digest_at[n], user_of[n], item_of[n]
  if key <= floor_of(1, user) or key <= floor_of(2, item) then return end
  local low_u, key_u = lowest_at_cap(1, user)
  local low_i, key_i = lowest_at_cap(2, item)
  if low_u and key < key_u then return raise(1, user, key) end
  if low_i and key < key_i then return raise(2, item, key) end
  if low_u then raise(1, user, key_u); evict(low_u) end
  if low_i then raise(2, item, key_i); evict(low_i) end
  join(1, user, key, digest)
  join(2, item, key, digest)
  new_rows[digest] = n
  bytes = bytes + #row_of[n]
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
both(P .. ':popularity', touched, function(i) return packed_as(doubles, unpack(popularity[i])) end)
local seqs, row_fields, scores = {}, {}, {}
for n = 1, #touched do seqs[2 * n - 1] = seq; seqs[2 * n] = touched[n] end
if #seqs > 0 then call('ZADD', P .. ':changed', unpack(seqs)) end
if #window > 0 then
  call('RPUSH', P .. ':window', unpack(window))
  call('LTRIM', P .. ':window', -window_rows, -1)
end
for digest, n in pairs(new_rows) do
  if n then
    row_fields[#row_fields + 1] = digest; row_fields[#row_fields + 1] = row_of[n]
    scores[#scores + 1] = key_of[n]; scores[#scores + 1] = digest
  end
end
put(P .. ':row', row_fields)
if #scores > 0 then call('ZADD', P .. ':reservoir', unpack(scores)) end
if #gone > 0 then call('ZREM', P .. ':reservoir', unpack(gone)); call('HDEL', P .. ':row', unpack(gone)) end
local turned_away = {} -- all are in Redis now: settle the byte budget there
while bytes > max_bytes do
  local least = call('ZPOPMIN', P .. ':reservoir')
  threshold = tonumber(least[2])
  bytes = bytes - call('HSTRLEN', P .. ':row', least[1])
  turned_away[#turned_away + 1] = least[1]
end
in_slices('HDEL', P .. ':row', turned_away) -- many when the budget was made smaller
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
if #seen_add > 0 then call('SADD', seen, unpack(seen_add)) end
call('HSET', F, 'next', math.max(next_offset, start), 'stored', stored, 'duplicates', duplicates,
  'dead', dead, 'impressions', impressions, 'repeats', repeats, 'rows', rows, 'bytes', bytes,
  'threshold', threshold, 'watermark', watermark, 'seq', seq,
  'alive', now, 'seen-turn', turn, 'seen-n', seen_n + #seen_add, 'seen-since', seen_since)
return {stored - stored_before, duplicates - duplicates_before}
