-- Forgets some of the oldest. True when there may be more.
local places, sighted = unpack(KEYS)
local before, some = tonumber(ARGV[1]), tonumber(ARGV[2])
local oldest = redis.call('ZRANGE', places, 0, some - 1)
for _, session in ipairs(oldest) do
    local known = redis.call('HGET', sighted, session)
    local seen = known and tonumber(string.match(known, '^%-?%d+ (%-?%d+) '))
    if seen and seen >= before then return 0 end
    redis.call('ZREM', places, session)
    redis.call('HDEL', sighted, session)
end
return #oldest == some and 1 or 0
