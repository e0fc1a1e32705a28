local rows = {}
for n, id in ipairs(redis.call('ZREVRANGE', dead, 0, ARGV[1] - 1)) do
    local tried = count(redis.call('HGET', attempts, id))
    rows[n] = {id, redis.call('HGET', event, id) or '', tried, redis.call('HGET', why, id) or ''}
end
return rows
