-- Keeps the denials that stand in ARGV from `at` on. Of two about the same thing the later one counts,
-- and only what is news is told.
local function deny(at)
    for n = 0, tonumber(ARGV[at]) - 1 do
        local place, kind, id, time = unpack(ARGV, at + 1 + n * 4, at + 4 + n * 4)
        if redis.call('ZADD', KEYS[tonumber(place)], 'GT', 'CH', time, id) == 1 then
            redis.call('XADD', feed, 'MAXLEN', '~', 100000, '*', 'kind', kind, 'id', id, 'at', time)
        end
    end
end
