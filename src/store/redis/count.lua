-- A number that somebody else may have written.
local function count(text)
    local number = tonumber(text)
    if not number or not (number >= 0 and number < 1000000) then return 0 end
    return math.floor(number)
end
