"""The scripts that keep books for all nodes: what is relayed, and how connections went.

a:RELAY        bytes of a relay          b:POOL   bytes of a pool
o:TURN_USER    list: how the connections of a membership went
"""

from signal_api.engine.redis.scripts import BEGIN, KNOWN

#: sid and id of the frame that tells it, membership, report, how many of them are kept, effects -> whether it was the
#: first time
REPORT = (
    BEGIN
    + KNOWN
    + """
if again(ARGV[4], ARGV[5]) then return 0 end
local told = P .. 'o:' .. ARGV[6]
redis.call('RPUSH', told, ARGV[7])
redis.call('LTRIM', told, -tonumber(ARGV[8]), -1)
redis.call('PEXPIRE', told, {ttl})
effects(9)
return 1
"""
).replace("{ttl}", "86400000")

#: memberships -> what was reported of each
REPORTS = (
    BEGIN
    + KNOWN
    + """
local found = {}
for i = 4, #ARGV do found[i - 3] = redis.call('LRANGE', P .. 'o:' .. ARGV[i], 0, -1) end
return found
"""
)

#: how many, then for each {relay, bytes ('': it only asks), pools in all, pools}
#: -> for each {bytes, how many of them are new, used of each pool}; the same as signal_api.relay.ledger
SPEND = (
    BEGIN
    + KNOWN
    + """
local at, spent = 5, {}
for number = 1, tonumber(ARGV[4]) do
  local relay, told, pools = P .. 'a:' .. ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local known = tonumber(redis.call('GET', relay) or '0')
  local total = math.max(known, told or 0)
  local row, fresh = {total, total - known}, total - known
  if told then redis.call('SET', relay, total, 'PX', {ttl}) end
  for i = 1, pools do
    local pool = P .. 'b:' .. ARGV[at + 2 + i]
    if told then
      row[#row + 1] = redis.call('INCRBY', pool, fresh)
      redis.call('PEXPIRE', pool, {ttl})
    else
      row[#row + 1] = tonumber(redis.call('GET', pool) or '0')
    end
  end
  spent[number] = row
  at = at + 3 + pools
end
return spent
"""
).replace("{ttl}", "604800000")
