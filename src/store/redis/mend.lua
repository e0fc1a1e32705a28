-- Puts aside what is none of ours: ARGV holds, for each of the keys that stand in pairs with the place where
-- they go, what they are to be.
local aside = {}
for n = 1, #ARGV do
    local key = KEYS[2 * n - 1]
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'none' and kind ~= ARGV[n] then
        redis.call('RENAME', key, KEYS[2 * n])
        aside[#aside + 1] = key
    end
end
return aside
