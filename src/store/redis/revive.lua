local id, now = unpack(ARGV)
if not redis.call('ZSCORE', dead, id) or redis.call('HEXISTS', data, id) == 0 then return 0 end
redis.call('ZREM', dead, id)
redis.call('ZADD', due, now, id)
redis.call('HSET', attempts, id, 0)
redis.call('HSET', claims, id, count(redis.call('HGET', claims, id)) + 1)
return 1
