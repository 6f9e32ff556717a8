-- Apply one batch of one partition: the same decision as streamrec.replay.PartitionState.
-- KEYS[1] is the partition's prefix with its hash tag; every key below starts with it, so all
-- lie in one slot. ARGV: msgpack of {incarnation, generation, next_offset, now}, of the events'
-- columns, and of the settings; then, one behind the other, for each event that could make a row its
-- packed row but for the last element, the history. A script blocks every other client, so what a batch touches is
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
-- those that are not impressions either readers, articles, reservoir keys, and where rows end
local offsets, kinds, digest_of, ts_of, user_of, item_of, key_of = E[1], E[2], E[3], E[4], E[5], E[6], E[7]
local row_end = E[8]
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

local function load(key, fields, at_once) -- a reply over 16 kB is copied once more: keep below
  local out = {}
  for from = 1, #fields, at_once do
    local values = call('HMGET', key, unpack(fields, from, math.min(from + at_once - 1, #fields)))
    for i = 1, #values do out[fields[from + i - 1]] = values[i] end
  end
  return out
end
-- A history is two strings, newest first: the items, each between two ENDs and one dismissed
-- with a mark before it, and for each a STAMP of its time as a double and its kind.
local END, MARK, STAMP = '\30', '\29', 9
local items_of, stamps_of = load(P .. ':history', users, 12), load(P .. ':history-at', users, 24)

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
    local packed = sub(ARGV[4], (row_end[n - 1] or 0) + 1, row_end[n]) .. pack(recent)
    window[#window + 1] = packed
    row_of[n] = packed
    rows_made[#rows_made + 1] = n
    if not touched_at[item] then touched[#touched + 1] = item; touched_at[item] = true end
  end
  local stamp = packed_as('<d', time_at[n]) .. kind
  if from == 1 and to == #item + 2 then -- a read after its click: what was newest stays it
    stamps_of[user] = stamp .. sub(stamps, STAMP + 1)
  else
    if from then
      local at = place(items, from) * STAMP
      items = sub(items, 1, from - 1) .. sub(items, to)
      stamps = sub(stamps, 1, at) .. sub(stamps, at + STAMP + 1)
    end
    if #stamps >= (history_len + slack) * STAMP then -- cut seldom: a cut copies the history
      items, stamps = sub(items, 1, after(items, history_len - 1)), sub(stamps, 1, (history_len - 1) * STAMP)
    end
    items_of[user] = END .. item .. items
    stamps_of[user] = stamp .. stamps
  end
end

-- first reads are popularity: as doubles the time, a decayed count for each half-life, the total
local popularity, TOTAL = load(P .. ':popularity', touched, 200), #half_lives + 2
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

-- The reservoir: rows by digest; and for each reader and article a text: its floor as a double if it
-- has one, and its members as they came. Whom the budget turns
-- away is not taken out of these texts before they seem to reach a cap: a key at or below the
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
      local user, item = user_of[n], item_of[n]
      if not named[1][user] then named[1][user] = true; owners_of[1][#owners_of[1] + 1] = user end
      if not named[2][item] then named[2][item] = true; owners_of[2][#owners_of[2] + 1] = item end
    end
  end
  if #wanted > 0 then inside = call('ZMSCORE', P .. ':reservoir', unpack(wanted)) end
end
local owner_keys, caps = {P .. ':of-user', P .. ':of-item'}, {user_cap, item_cap}
local texts, changed = {load(owner_keys[1], owners_of[1], 50), load(owner_keys[2], owners_of[2], 50)}, {{}, {}}
local reservoir, row_key, new_rows, gone = P .. ':reservoir', P .. ':row', {}, {}

local function text_of(i, owner)
  local text = texts[i][owner]
  if text == nil then
    text = call('HGET', owner_keys[i], owner) or ''
    texts[i][owner] = text
  end
  return text or ''
end
local function set_text(i, owner, text) texts[i][owner] = text; changed[i][owner] = true end
local function key_at(text, at) return (struct.unpack('<d', text, at)) end
local function floor_of(text) return #text % MEMBER == 8 and key_at(text, 1) or -math.huge end
local function raise(i, owner, floor)
  local text = text_of(i, owner)
  set_text(i, owner, packed_as('<d', floor) .. sub(text, #text % MEMBER + 1))
end

local function lowest_at_cap(i, owner) -- digest and key of the one that a better one replaces
  local text = text_of(i, owner)
  if #text < caps[i] * MEMBER then return nil end
  local first, kept = #text % MEMBER + 1, {}
  local low, low_at = math.huge, nil
  for at = first, #text, MEMBER do
    local key = key_at(text, at)
    if key > threshold then
      kept[#kept + 1] = sub(text, at, at + MEMBER - 1)
      if key < low then low, low_at = key, at end
    end
  end
  if #kept * MEMBER < #text - first + 1 then set_text(i, owner, sub(text, 1, first - 1) .. table.concat(kept)) end
  if #kept < caps[i] then return nil end
  return sub(text, low_at + 8, low_at + MEMBER - 1), low
end

local function leave(i, owner, digest)
  local text = text_of(i, owner)
  local at = find(text, digest, #text % MEMBER + 1, true)
  if at then set_text(i, owner, sub(text, 1, at - 9) .. sub(text, at + 16)) end
end

local function evict(digest) -- for a cap
  local n = new_rows[digest]
  if n == false then return end
  local row, user, item
  if n then row, user, item = row_of[n], user_of[n], item_of[n]
  else
    row, gone[#gone + 1] = call('HGET', row_key, digest), digest
    local _
    _, _, user, item = cmsgpack.unpack_limit(row, 3, 1) -- no more of the row than its owners
  end
  new_rows[digest] = false
  bytes = bytes - #row
  leave(1, user, digest)
  leave(2, item, digest)
end

local function offer(n)
  local key, digest, user, item = key_of[n], digest_at[n], user_of[n], item_of[n]
  if key <= floor_of(text_of(1, user)) or key <= floor_of(text_of(2, item)) then return end
  local low_u, key_u = lowest_at_cap(1, user)
  local low_i, key_i = lowest_at_cap(2, item)
  if low_u and key < key_u then return raise(1, user, key) end
  if low_i and key < key_i then return raise(2, item, key) end
  if low_u then raise(1, user, key_u); evict(low_u) end
  if low_i then raise(2, item, key_i); evict(low_i) end
  local member = packed_as('<d', key) .. digest
  set_text(1, user, text_of(1, user) .. member)
  set_text(2, item, text_of(2, item) .. member)
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
local function both(key, names, values) -- the same names in order, with their values
  local out = {}
  for n = 1, #names do out[2 * n - 1] = names[n]; out[2 * n] = values(names[n]) end
  put(key, out)
end
both(P .. ':history', users, function(u) return items_of[u] end)
both(P .. ':history-at', users, function(u) return stamps_of[u] end)
both(P .. ':popularity', touched, function(i) return packed_as(doubles, unpack(popularity[i])) end)
local seqs, scores, row_fields = {}, {}, {}
for n = 1, #touched do seqs[2 * n - 1] = seq; seqs[2 * n] = touched[n] end
if #seqs > 0 then call('ZADD', P .. ':changed', unpack(seqs)) end
if #window > 0 then
  call('RPUSH', P .. ':window', unpack(window))
  call('LTRIM', P .. ':window', -window_rows, -1)
end
for digest, n in pairs(new_rows) do
  if n then
    scores[#scores + 1] = key_of[n]; scores[#scores + 1] = digest
    row_fields[#row_fields + 1] = digest; row_fields[#row_fields + 1] = row_of[n]
  end
end
put(row_key, row_fields)
if #scores > 0 then call('ZADD', reservoir, unpack(scores)) end
if #gone > 0 then call('ZREM', reservoir, unpack(gone)); call('HDEL', row_key, unpack(gone)) end
while bytes > max_bytes do -- all are in Redis now: settle the byte budget there, some rows at a time
  local few = math.min(500, math.ceil((bytes - max_bytes) / bytes * call('ZCARD', reservoir)))
  local least, turned_away = call('ZRANGE', reservoir, 0, few - 1, 'WITHSCORES'), {}
  for n = 1, #least, 2 do
    if bytes <= max_bytes then break end
    threshold = tonumber(least[n + 1])
    bytes = bytes - call('HSTRLEN', row_key, least[n])
    turned_away[#turned_away + 1] = least[n]
  end
  call('ZREMRANGEBYRANK', reservoir, 0, #turned_away - 1)
  call('HDEL', row_key, unpack(turned_away))
end
for i = 1, 2 do
  local kept, empty = {}, {}
  for owner in pairs(changed[i]) do
    local text = texts[i][owner]
    if text == '' then empty[#empty + 1] = owner
    else kept[#kept + 1] = owner; kept[#kept + 1] = text end
  end
  put(owner_keys[i], kept)
  in_slices('HDEL', owner_keys[i], empty)
end
if #seen_add > 0 then call('SADD', seen, unpack(seen_add)) end
call('HSET', F, 'next', math.max(next_offset, start), 'stored', stored, 'duplicates', duplicates,
  'dead', dead, 'impressions', impressions, 'repeats', repeats, 'rows', rows, 'bytes', bytes,
  'threshold', threshold, 'watermark', watermark, 'seq', seq,
  'alive', now, 'seen-turn', turn, 'seen-n', seen_n + #seen_add, 'seen-since', seen_since)
return {stored - stored_before, duplicates - duplicates_before}
