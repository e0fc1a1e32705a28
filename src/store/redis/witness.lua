-- Of two sightings of a session the one with the newer claims counts, and of those the later. Their places
-- grow with the server's clock, so that whoever reads on after a loss is not mistaken.
local places, sighted = unpack(KEYS)
local time = redis.call('TIME')
redis.call('HSETNX', sighted, 'origin', time[1] .. '.' .. time[2])
local last = redis.call('ZREVRANGE', places, 0, 0, 'WITHSCORES')[2]
last = tonumber(last or 0)
-- No clock counts as far, and nothing grows beyond it.
if last >= 2 ^ 53 then redis.call('ZREMRANGEBYSCORE', places, 2 ^ 53, '+inf') last = 0 end
local place = math.max(last, time[1] * 1000000 + time[2])
for n = 2, #ARGV, 4 do
    local session, claims, seen, mark = unpack(ARGV, n, n + 3)
    local known = redis.call('HGET', sighted, session)
    local news = true
    if known then
        local c, s = string.match(known, '^(%-?%d+) (%-?%d+) ')
        if c and redis.call('ZSCORE', places, session) then
            c, s = tonumber(c) - tonumber(claims), tonumber(s) - tonumber(seen)
            news = c < 0 or (c == 0 and s < 0)
        end
    end
    if news then
        place = place + 1
        redis.call('HSET', sighted, session, claims .. ' ' .. seen .. ' ' .. mark)
        redis.call('ZADD', places, place, session)
    end
end
local over = redis.call('ZCARD', places) - tonumber(ARGV[1])
if over > 0 then
    for _, session in ipairs(redis.call('ZRANGE', places, 0, math.min(over, 2000) - 1)) do
        redis.call('ZREM', places, session)
        redis.call('HDEL', sighted, session)
    end
end
