-- So many members of a set, in the order of their times, behind one that was read before. Where that one
-- went on or away meanwhile, all of its time are read again.
local set, count, time, id = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local from = 0
if time then
    local now = redis.call('ZSCORE', set, id)
    if now and tonumber(now) == tonumber(time) then
        from = redis.call('ZRANK', set, id) + 1
    else
        from = redis.call('ZCOUNT', set, '-inf', '(' .. time)
    end
end
return redis.call('ZRANGE', set, from, from + count - 1, 'WITHSCORES')
