-- Forgets a portion of what is old, and says whether there is more.
local memory, shelf, portion = unpack(ARGV, 1, 3)
local more = 0

local function cut(set, before)
    local old = redis.call('ZCOUNT', set, '-inf', '(' .. before)
    if old > tonumber(portion) then more = 1 end
    if old > 0 then redis.call('ZREMRANGEBYRANK', set, 0, math.min(old, portion) - 1) end
end

cut(done, memory)
for n = 4, #ARGV, 2 do cut(KEYS[tonumber(ARGV[n])], ARGV[n + 1]) end
local old = redis.call('ZRANGEBYSCORE', dead, '-inf', '(' .. shelf, 'LIMIT', 0, portion)
for _, id in ipairs(old) do
    redis.call('ZREM', dead, id)
    for _, hash in ipairs({event, data, attempts, why, claims}) do redis.call('HDEL', hash, id) end
end
if #old == tonumber(portion) then more = 1 end
return more
