local memory, shelf = unpack(ARGV, 1, 2)
redis.call('ZREMRANGEBYSCORE', done, '-inf', '(' .. memory)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', dead, '-inf', '(' .. shelf)) do
    redis.call('ZREM', dead, id)
    for _, hash in ipairs({event, data, attempts, why}) do redis.call('HDEL', hash, id) end
end
for n = 3, #ARGV, 2 do
    redis.call('ZREMRANGEBYSCORE', KEYS[tonumber(ARGV[n])], '-inf', '(' .. ARGV[n + 1])
end
