local id, claim, state, at, reason = unpack(ARGV)
if not redis.call('ZSCORE', due, id) then return 0 end
local last = count(redis.call('HGET', claims, id))
if last ~= tonumber(claim) then return 0 end
redis.call('HSET', claims, id, last + 1)
if state == 'due' then
    redis.call('ZADD', due, at, id)
    redis.call('HSET', why, id, reason)
    return 1
end
-- One that cannot be read came just now.
local readable, kept = pcall(cjson.decode, redis.call('HGET', event, id) or '')
local received = readable and type(kept) == 'table' and tonumber(kept.received)
if received then
    received = string.format('%.0f', received)
else
    local time = redis.call('TIME')
    received = time[1] .. string.format('%03d', math.floor(time[2] / 1000))
end
redis.call('ZREM', due, id)
if state == 'dead' then
    redis.call('ZADD', dead, received, id)
    redis.call('HSET', why, id, reason)
else
    redis.call('ZADD', done, received, id)
    for _, hash in ipairs({event, data, attempts, why, claims}) do redis.call('HDEL', hash, id) end
end
return 1
