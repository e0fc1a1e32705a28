local id, state, at, reason = unpack(ARGV)
if not redis.call('ZSCORE', due, id) then return end
if state == 'due' then
    redis.call('ZADD', due, at, id)
    redis.call('HSET', why, id, reason)
    return
end
local received = string.format('%.0f', cjson.decode(redis.call('HGET', event, id)).received)
redis.call('ZREM', due, id)
if state == 'dead' then
    redis.call('ZADD', dead, received, id)
    redis.call('HSET', why, id, reason)
else
    redis.call('ZADD', done, received, id)
    for _, hash in ipairs({event, data, attempts, why}) do redis.call('HDEL', hash, id) end
end
