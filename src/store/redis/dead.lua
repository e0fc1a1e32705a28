local rows = {}
for n, id in ipairs(redis.call('ZREVRANGE', dead, 0, ARGV[1] - 1)) do
    local count = tonumber(redis.call('HGET', attempts, id) or 0)
    rows[n] = {id, redis.call('HGET', event, id) or '', count, redis.call('HGET', why, id) or ''}
end
return rows
