-- wrk: sixteen requests in one write. wrk counts every answer, and its latency is that of a batch.
init = function()
    local batch = {}
    for i = 1, 16 do
        batch[i] = wrk.format()
    end
    requests = table.concat(batch)
end

request = function()
    return requests
end
