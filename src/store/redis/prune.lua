local memory, shelf, now = unpack(ARGV, 1, 3)
redis.call('ZREMRANGEBYSCORE', done, '-inf', '(' .. memory)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', dead, '-inf', '(' .. shelf)) do
    redis.call('ZREM', dead, id)
    for _, hash in ipairs({event, data, attempts, why}) do redis.call('HDEL', hash, id) end
end
for n = 4, #ARGV do
    redis.call('ZREMRANGEBYSCORE', KEYS[tonumber(ARGV[n])], '-inf', '(' .. now)
end
