-- wrk: all of 200 routes in turn, so that finding one is not finding the last one again.
local n = 200
local at = 0
local requests = {}

init = function()
    for i = 1, n do
        requests[i] = wrk.format("GET", string.format("/res%03d/42/parts/7", i - 1))
    end
end

request = function()
    at = at % n + 1
    return requests[at]
end
