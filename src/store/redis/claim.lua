local id = redis.call('ZRANGEBYSCORE', due, '-inf', ARGV[1], 'LIMIT', 0, 1)[1]
if not id then return false end
redis.call('ZADD', due, ARGV[2], id)
local count = redis.call('HINCRBY', attempts, id, 1)
return {id, redis.call('HGET', event, id) or '', redis.call('HGET', data, id) or '', count}
