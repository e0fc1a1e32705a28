local members, told = unpack(KEYS)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- Others may write here too, so that nothing is read without a bound.
local most = tonumber(ARGV[1])
for _, member in ipairs(redis.call('ZRANGEBYSCORE', members, '-inf', now, 'LIMIT', 0, most)) do
    redis.call('ZREM', members, member)
    redis.call('HDEL', told, member)
end
local rows = {}
for _, member in ipairs(redis.call('ZREVRANGEBYSCORE', members, '+inf', '(' .. now, 'LIMIT', 0, most)) do
    local news = redis.call('HGET', told, member)
    if news then rows[#rows + 1] = {member, news} end
end
return rows
