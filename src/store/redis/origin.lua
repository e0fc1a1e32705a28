-- Where the feed ends. One that is empty gets a beginning, so that it can be noticed when it is lost.
local last = redis.call('XREVRANGE', feed, '+', '-', 'COUNT', 1)[1]
if last then return last[1] end
return redis.call('XADD', feed, '*', 'kind', 'beginning')
