"""What runs inside Redis: comparing and setting, and routing to the stream of whoever owns a session. No room logic.

Keys, all behind the configured prefix:

    nodes            hash: node -> beats            n:NODE    hash: last (entries given), at (all before it is kept)
    in:NODE          stream of a node, ids N-0      of:NODE   set of the sessions that a node owns
    s:SID            hash: node, fence, busy and moved (until it is kept by a new node), the session, and r:ROOM for
                     each room that it is a member of
    l:SID            list: the session's log        i:SID     sorted set: frames that took effect, by their time
    r:HASH           hash: v(ersion), d(ata), o(pen), m(embers)      names   sorted set of the rooms' names
    revoked          hash: revocations              census    hash: rooms, members
    due:rooms        sorted set: HASH and name, by when a room is forgotten: those that are kept never are
    due:revoked      sorted set: ids of revocations, by their end
    k:NAME           who was the first to say it

Every script begins with the prefix, the node that calls and the moment until which it still waits: what reaches Redis
later, because Redis was stopped, has no effect. A node that Redis does not know any more is told so.
"""

import functools
import hashlib

#: what every script begins with
BEGIN = """
local P, me = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now > tonumber(ARGV[3]) then return redis.error_reply('LATE') end
local function add(node, kind, a, b)
  local n = redis.call('HINCRBY', P .. 'n:' .. node, 'last', 1)
  redis.call('XADD', P .. 'in:' .. node, 'MAXLEN', '~', {most}, n .. '-0', 'k', kind, 'a', a, 'b', b)
  return n
end
local function effects(at)
  for _ = 1, tonumber(ARGV[at]) do
    local count, nodes = tonumber(ARGV[at + 1]), {}
    if count == -1 then
      for _, node in ipairs(redis.call('HKEYS', P .. 'nodes')) do nodes[node] = true end
    elseif count == -2 then
      nodes[me] = true
    end
    count = math.max(count, 0)
    for i = at + 2, at + 1 + count do
      local node = redis.call('HGET', P .. 's:' .. ARGV[i], 'node')
      if node then nodes[node] = true end
    end
    at = at + 2 + count
    for node in pairs(nodes) do add(node, 'e', ARGV[at], '') end
  end
end
local function again(sid, id)
  if id == '' then return false end
  local done = P .. 'i:' .. sid
  redis.call('ZREMRANGEBYSCORE', done, '-inf', now - {remembered})
  if redis.call('ZADD', done, 'NX', now, id) == 0 then return true end
  redis.call('ZREMRANGEBYRANK', done, 0, -257)
  redis.call('PEXPIRE', done, {remembered})
  return false
end
""".replace("{most}", "100000").replace("{remembered}", "120000")

#: for nodes that have registered
KNOWN = """
if redis.call('HEXISTS', P .. 'nodes', me) == 0 then return redis.error_reply('LOST') end
"""

#: -> whether no node has lived for a day, revocations
REGISTER = (
    BEGIN
    + """
local first = 1 - redis.call('EXISTS', P .. 'nodes')
redis.call('HSET', P .. 'nodes', me, 0)
return {first, redis.call('HVALS', P .. 'revoked')}
"""
)

#: the next node that looks takes over what is left of this one
LEAVE = BEGIN + KNOWN + "return redis.call('HSET', P .. 'nodes', me, 'gone')"

#: forgets a portion of what is over -> now, beats, last, nodes and their beats, rooms, members
BEAT = (
    (
        BEGIN
        + KNOWN
        + """
local beats = redis.call('HINCRBY', P .. 'nodes', me, 1)
local last = redis.call('HGET', P .. 'n:' .. me, 'last') or '0'
for _, key in ipairs({'n:', 'in:', 'of:'}) do redis.call('PEXPIRE', P .. key .. me, {ttl}) end
redis.call('PEXPIRE', P .. 'nodes', {ttl})
local function over(of) return redis.call('ZRANGEBYSCORE', P .. 'due:' .. of, '-inf', now, 'LIMIT', 0, {portion}) end
for _, row in ipairs(over('rooms')) do
  local key, name = P .. 'r:' .. row:sub(1, 40), row:sub(41)
  local was = redis.call('HMGET', key, 'o', 'm')
  redis.call('HINCRBY', P .. 'census', 'rooms', 0 - tonumber(was[1] or '0'))
  redis.call('HINCRBY', P .. 'census', 'members', 0 - tonumber(was[2] or '0'))
  redis.call('DEL', key)
  redis.call('ZREM', P .. 'names', name)
  redis.call('ZREM', P .. 'due:rooms', row)
end
for _, id in ipairs(over('revoked')) do
  redis.call('HDEL', P .. 'revoked', id)
  redis.call('ZREM', P .. 'due:revoked', id)
end
local census = redis.call('HMGET', P .. 'census', 'rooms', 'members')
return {now, beats, last, redis.call('HGETALL', P .. 'nodes'), census[1] or '0', census[2] or '0'}
"""
    )
    .replace("{ttl}", "86400000")
    .replace("{portion}", "100")
)

#: room, version that is known -> version, data unless it is known
LOAD = (
    BEGIN
    + KNOWN
    + """
local found = redis.call('HMGET', P .. 'r:' .. ARGV[4], 'v', 'd')
if not found[1] then return {0} end
if found[1] == ARGV[5] then return {tonumber(found[1])} end
return {tonumber(found[1]), found[2]}
"""
)

#: after, most -> names of rooms in their order
LIST = (
    BEGIN
    + KNOWN
    + """
local from = ARGV[4] == '' and '-' or '(' .. ARGV[4]
return redis.call('ZRANGEBYLEX', P .. 'names', from, '+', 'LIMIT', 0, ARGV[5])
"""
)

#: room, name, version, data, open, members, until ('': a day, unless it is touched; 'kept': for ever), joined {sid, 1
#: unless it was a member before, membership}, left {sid}, effects -> 1, or 0 when the version is another, or -1 when
#: nobody has a session that would come in: it has ended while it did, and nobody would ever take it out
COMMIT = (
    BEGIN
    + KNOWN
    + """
local key, name = P .. 'r:' .. ARGV[4], ARGV[5]
local before = redis.call('HMGET', key, 'v', 'o', 'm')
if tonumber(before[1] or '0') ~= tonumber(ARGV[6]) then return 0 end
for at = 12, 9 + 3 * ARGV[11], 3 do
  if ARGV[at + 1] == '1' and redis.call('EXISTS', P .. 's:' .. ARGV[at]) == 0 then return -1 end
end
redis.call('HINCRBY', P .. 'census', 'rooms', tonumber(ARGV[8]) - tonumber(before[2] or '0'))
redis.call('HINCRBY', P .. 'census', 'members', tonumber(ARGV[9]) - tonumber(before[3] or '0'))
if ARGV[7] == '' then
  redis.call('DEL', key)
  redis.call('ZREM', P .. 'names', name)
  redis.call('ZREM', P .. 'due:rooms', ARGV[4] .. name)
else
  -- No version comes twice, even when all keys are gone in between.
  redis.call('SETNX', P .. 'versions', now)
  local version = redis.call('INCR', P .. 'versions')
  redis.call('HSET', key, 'v', version, 'd', ARGV[7], 'o', ARGV[8], 'm', ARGV[9])
  redis.call('ZADD', P .. 'names', 0, name)
  redis.call('PERSIST', key)  -- Nodes of an older version gave it an end.
  if ARGV[10] == 'kept' then redis.call('ZREM', P .. 'due:rooms', ARGV[4] .. name)
  else redis.call('ZADD', P .. 'due:rooms', ARGV[10] ~= '' and ARGV[10] or now + {ttl}, ARGV[4] .. name) end
end
local at = 11
for _ = 1, tonumber(ARGV[at]) do
  local session = P .. 's:' .. ARGV[at + 1]
  if redis.call('EXISTS', session) == 1 then redis.call('HSET', session, 'r:' .. name, ARGV[at + 3]) end
  at = at + 3
end
at = at + 1
for _ = 1, tonumber(ARGV[at]) do
  redis.call('HDEL', P .. 's:' .. ARGV[at + 1], 'r:' .. name)
  at = at + 1
end
effects(at + 1)
return 1
"""
).replace("{ttl}", "86400000")

#: sid and id of the frame that this is the effect of, effects -> whether it was the first time
PUBLISH = (
    BEGIN
    + KNOWN
    + """
if again(ARGV[4], ARGV[5]) then return 0 end
effects(6)
return 1
"""
)

#: id, revocation ('' takes it back), its end, effects
REVOKE = (
    BEGIN
    + KNOWN
    + """
if ARGV[5] == '' then
  redis.call('HDEL', P .. 'revoked', ARGV[4])
  redis.call('ZREM', P .. 'due:revoked', ARGV[4])
else
  redis.call('HSET', P .. 'revoked', ARGV[4], ARGV[5])
  redis.call('ZADD', P .. 'due:revoked', ARGV[6], ARGV[4])
end
effects(7)
return 1
"""
)

#: rooms that stay {room and name}: those that have an end get a later one
TOUCH = (
    BEGIN
    + KNOWN
    + """
for i = 4, #ARGV do
  redis.call('PERSIST', P .. 'r:' .. ARGV[i]:sub(1, 40))
  redis.call('ZADD', P .. 'due:rooms', 'XX', now + {ttl}, ARGV[i])
end
return 1
"""
).replace("{ttl}", "86400000")

#: at, ended {sid, fence, rooms that it was taken out of}, kept {sid, fence (0: it is new), node that it may replace,
#: record, seq, frames of the log in all, whether all of them follow, the last frames} -> for each that is kept: its
#: fence, 0 when somebody else has it, -1 when nobody has; and each that did not end {sid, rooms that have it still}
KEEP = (
    BEGIN
    + KNOWN
    + """
local function mine(sid, fence)
  local found = redis.call('HMGET', P .. 's:' .. sid, 'node', 'fence')
  return found[1] == me and found[2] == fence
end
local at, kept, still = 5, {}, {}
for _ = 1, tonumber(ARGV[at]) do
  local sid, count, out, rooms = ARGV[at + 1], tonumber(ARGV[at + 3]), {}, {}
  for i = at + 4, at + 3 + count do out['r:' .. ARGV[i]] = true end
  if mine(sid, ARGV[at + 2]) then
    for _, key in ipairs(redis.call('HKEYS', P .. 's:' .. sid)) do
      if key:sub(1, 2) == 'r:' and not out[key] then rooms[#rooms + 1] = key:sub(3) end
    end
    if #rooms > 0 then
      still[#still + 1] = {sid, rooms}
    else
      redis.call('DEL', P .. 's:' .. sid, P .. 'l:' .. sid, P .. 'i:' .. sid)
      redis.call('SREM', P .. 'of:' .. me, sid)
    end
  end
  at = at + 3 + count
end
at = at + 1
for number = 1, tonumber(ARGV[at]) do
  local sid, fence, frames = ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 8])
  local session, log = P .. 's:' .. sid, P .. 'l:' .. sid
  local good
  if fence == '0' then
    local owner = redis.call('HGET', session, 'node')
    good = not owner or owner == ARGV[at + 3]
    if good then
      fence = redis.call('HINCRBY', session, 'fence', 1)
      if owner then redis.call('SREM', P .. 'of:' .. owner, sid) end
      redis.call('HSET', session, 'node', me)
      redis.call('SADD', P .. 'of:' .. me, sid)
    end
  else
    good = mine(sid, fence)
  end
  local nobodys = not redis.call('HGET', session, 'node')
  kept[number] = good and tonumber(fence) or nobodys and -1 or 0
  if good then
    redis.call('HDEL', session, 'busy', 'moved')
    -- What was written before, and its answer lost, is not written again.
    local have = tonumber(redis.call('HGET', session, 'seq') or '0')
    if ARGV[at + 7] == '1' then
      redis.call('DEL', log)
      have = 0
    end
    redis.call('HSET', session, 'seq', ARGV[at + 5], 'src', ARGV[4], 'on', me)
    if ARGV[at + 4] ~= '' then redis.call('HSET', session, 'record', ARGV[at + 4]) end
    for i = 1, frames do
      if tonumber(ARGV[at + 5]) - frames + i > have then redis.call('RPUSH', log, ARGV[at + 8 + i]) end
    end
    if ARGV[at + 6] == '0' then redis.call('DEL', log) else redis.call('LTRIM', log, -tonumber(ARGV[at + 6]), -1) end
    redis.call('PEXPIRE', session, {ttl})
    redis.call('PEXPIRE', log, {ttl})
  end
  at = at + 8 + frames
end
return {kept, still}
"""
).replace("{ttl}", "86400000")

#: at: all up to there is kept, trim: up to there nobody needs the stream any more
SETTLE = (
    BEGIN
    + KNOWN
    + """
redis.call('HSET', P .. 'n:' .. me, 'at', ARGV[4])
redis.call('XTRIM', P .. 'in:' .. me, 'MINID', '~', (ARGV[5] + 1) .. '-0')
return 1
"""
)

#: sid -> its hash
PEEK = BEGIN + KNOWN + "return redis.call('HGETALL', P .. 's:' .. ARGV[4])"

#: sid -> its node
OWNER = BEGIN + KNOWN + "return redis.call('HGET', P .. 's:' .. ARGV[4], 'node')"

#: sid, close code for the old connection, node that must have it ('': any), milliseconds that a move may take
#: -> unknown | busy | mine or moved, fence, how it came here ('' once it is kept here): from, all up to that entry
#: kept, told at that entry, since
CLAIM = (
    BEGIN
    + KNOWN
    + """
local session = P .. 's:' .. ARGV[4]
local found = redis.call('HMGET', session, 'node', 'fence', 'busy', 'moved')
local owner = found[1]
if not owner or (ARGV[6] ~= '' and owner ~= ARGV[6]) then return {'unknown'} end
if owner == me then return {'mine', tonumber(found[2]), found[4] or ''} end
if found[3] and tonumber(found[3]) > now then return {'busy'} end
local fence = redis.call('HINCRBY', session, 'fence', 1)
redis.call('SREM', P .. 'of:' .. owner, ARGV[4])
redis.call('SADD', P .. 'of:' .. me, ARGV[4])
local told = add(owner, 'm', ARGV[4], fence .. ' ' .. me .. ' ' .. ARGV[5])
local at, since = redis.call('HGET', P .. 'n:' .. owner, 'at'), redis.call('HGET', P .. 'n:' .. me, 'last')
local moved = table.concat({owner, at or '0', told, since or '0'}, ' ')
redis.call('HSET', session, 'node', me, 'busy', now + ARGV[7], 'moved', moved)
return {'moved', fence, moved}
"""
)

#: name, node that counts no longer ('': none) -> the first node that said this name within two minutes
FIRST = (
    BEGIN
    + KNOWN
    + """
local key = P .. 'k:' .. ARGV[4]
local first = redis.call('GET', key)
if first and first ~= ARGV[5] and redis.call('HEXISTS', P .. 'nodes', first) == 1 then return first end
redis.call('SET', key, me, 'PX', {remembered})
return me
"""
).replace("{remembered}", "120000")

#: sid -> its hash, its log
READ = (
    BEGIN
    + KNOWN
    + """
return {redis.call('HGETALL', P .. 's:' .. ARGV[4]), redis.call('LRANGE', P .. 'l:' .. ARGV[4], 0, -1)}
"""
)

#: node, from, to -> entries of its stream
REMAINS = (
    BEGIN
    + KNOWN
    + """
return redis.call('XRANGE', P .. 'in:' .. ARGV[4], ARGV[5] .. '-0', ARGV[6] .. '-0', 'COUNT', 1000)
"""
)

#: node, kind, a, b -> whether the node is there
TELL = (
    BEGIN
    + KNOWN
    + """
if redis.call('HEXISTS', P .. 'nodes', ARGV[4]) == 0 then return 0 end
add(ARGV[4], ARGV[5], ARGV[6], ARGV[7])
return 1
"""
)

#: node, most -> some of its sessions; without any it is forgotten, and what it has left as soon as nobody can need it:
#: sessions may be on their way elsewhere
ORPHANS = (
    BEGIN
    + KNOWN
    + """
local sids, theirs = redis.call('SRANDMEMBER', P .. 'of:' .. ARGV[4], ARGV[5]), {}
for _, sid in ipairs(sids) do
  if redis.call('HGET', P .. 's:' .. sid, 'node') == ARGV[4] then theirs[#theirs + 1] = sid
  else redis.call('SREM', P .. 'of:' .. ARGV[4], sid) end
end
if #sids == 0 then
  redis.call('HDEL', P .. 'nodes', ARGV[4])
  for _, key in ipairs({'n:', 'in:', 'of:'}) do redis.call('PEXPIRE', P .. key .. ARGV[4], {left}) end
  return false
end
return theirs
"""
).replace("{left}", "60000")


@functools.cache
def digest_of(script: str) -> str:
    """The name under which Redis remembers a script."""
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
