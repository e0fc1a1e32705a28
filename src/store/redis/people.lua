-- Replaces the documents that stand in ARGV from `at` on, once all of them were compared.
local function unchanged(at)
    for n = 0, tonumber(ARGV[at]) - 1 do
        local id, before = unpack(ARGV, at + 1 + n * 3, at + 2 + n * 3)
        if (redis.call('HGET', people, id) or '') ~= before then return false end
    end
    return true
end

local function rewrite(at)
    local count = tonumber(ARGV[at])
    for n = 0, count - 1 do
        redis.call('HSET', people, ARGV[at + 1 + n * 3], ARGV[at + 3 + n * 3])
    end
    return at + 1 + count * 3
end
