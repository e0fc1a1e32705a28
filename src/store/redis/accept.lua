local id, received, about, state, text = unpack(ARGV, 1, 5)
if redis.call('ZSCORE', done, id) then return 'known' end
local known = redis.call('HEXISTS', event, id) == 1
-- What made no sense, and does now, is new.
local senseless = known and redis.call('ZSCORE', dead, id) and redis.call('HEXISTS', data, id) == 0
if known and (state == 'dead' or not senseless) then return 'known' end
if not unchanged(6) then return 'changed' end
if senseless then
    redis.call('ZREM', dead, id)
    redis.call('HDEL', why, id)
    redis.call('HDEL', event, id)
end
deny(rewrite(6))
if state == 'done' then
    redis.call('ZADD', done, received, id)
    return 'new'
end
if state == 'due' then
    redis.call('HSET', data, id, text)
    redis.call('ZADD', due, received, id)
else
    redis.call('HSET', why, id, text)
    redis.call('ZADD', dead, received, id)
end
-- The last: what breaks off before is no event that is known.
redis.call('HSET', event, id, about)
return 'new'
