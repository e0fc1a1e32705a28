local id = redis.call('ZRANGEBYSCORE', due, '-inf', ARGV[1], 'LIMIT', 0, 1)[1]
if not id then return false end
redis.call('ZADD', due, ARGV[2], id)
local attempt = count(redis.call('HGET', attempts, id)) + 1
redis.call('HSET', attempts, id, attempt)
local claim = count(redis.call('HGET', claims, id)) + 1
redis.call('HSET', claims, id, claim)
local about = redis.call('HGET', event, id) or ''
return {id, about, redis.call('HGET', data, id) or '', attempt, claim}
