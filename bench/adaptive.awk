# The table of one workload, and whether the aim holds: see bench/adaptive. Reads lines of
# key=value; wants the variables workload, name_list, limit (ms) and rounds.

function sorted(list, out,    n, i, j, t) {
    n = split(list, out, " ")
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && out[j] + 0 < out[j - 1] + 0; j--) {
            t = out[j]; out[j] = out[j - 1]; out[j - 1] = t
        }
    return n
}

function median(list,    v, n) {
    n = sorted(list, v)
    return n == 0 ? 0 : n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}

# The median of the rounds. What was not measured is 0.
function figure(name, phase, kind, key,    r, list) {
    for (r = 1; r <= rounds; r++)
        list = list " " at[name, r, phase, kind, key]
    return median(list)
}

function ms(us) {
    return us > 4e9 ? "∞" : sprintf(us < 9950 ? "%.2f" : "%.0f", us / 1000)
}

# All the work of a phase: answers a second, or those of calm seconds.
function work(name, phase, key,    r, list, sum, k) {
    for (r = 1; r <= rounds; r++) {
        sum = 0
        for (k in kinds)
            if (k != "light" || !has_beside)
                sum += at[name, r, phase, k, key]
        list = list " " sum
    }
    return median(list)
}

# The p99 of the slowest kind of work, which the steady workloads are judged by.
function worst_p99(name,    k, p99, worst) {
    for (k in kinds)
        if ((k != "light" || !has_beside) && (p99 = figure(name, 0, k, "p99_us")) > worst)
            worst = p99
    return worst
}

function failures(name,    r, k, p, sum) {
    for (r = 1; r <= rounds; r++)
        for (p = 0; p < n_phases; p++)
            for (k in kinds)
                sum += at[name, r, p, k, "failed"]
    return sum
}

# A ratio of waits, of which a millisecond is nothing that anybody notices.
function is_no_slower(us, than_us) { return us <= than_us * 1.1 || us <= than_us + 1000 }

function print_steady(    i, name, key, best, best_name, ratio, holds, light, light_us,
        best_light_us) {
    key = has_beside ? "good_" limit : "rps"
    print "| setting | answers/s | " (has_beside ? "goodput/s | " : "") \
        "÷ best | p50 ms | p99 ms | " (has_beside ? "light p99 ms | " : "") "failed | CPU % |"
    print "| --- | ---: | " (has_beside ? "---: | " : "") "---: | ---: | ---: | " \
        (has_beside ? "---: | " : "") "---: | ---: |"
    for (i = 2; i <= n_names; i++)
        if (work(names[i], 0, key) > best) {
            best = work(names[i], 0, key)
            best_name = names[i]
        }
    for (i = 1; i <= n_names; i++) {
        name = names[i]
        printf "| %s%s | %.0f | %s%.2f | ", name, name == best_name ? " (best)" : "",
            work(name, 0, "rps"), has_beside ? sprintf("%.0f | ", work(name, 0, key)) : "",
            (best > 0 ? work(name, 0, key) / best : 0)
        cell(name, "p50_us"); cell(name, "p99_us")
        if (has_beside)
            printf "%s | ", ms(figure(name, 0, "light", "p99_us"))
        printf "%d | %.0f |\n", failures(name), figure(name, 0, first_kind, "cpu")
    }
    if (best == 0)
        return
    ratio = work("auto", 0, key) / best
    holds = ratio >= 0.9 && is_no_slower(worst_p99("auto"), worst_p99(best_name))
    light = ""
    if (has_beside) {
        light_us = figure("auto", 0, "light", "p99_us")
        best_light_us = figure(best_name, 0, "light", "p99_us")
        holds = holds && is_no_slower(light_us, best_light_us)
        light = sprintf(", of light ones %s ms beside %s", ms(light_us), ms(best_light_us))
    }
    printf "\n%s: auto has %.2f of the %s of %s, p99 %s ms beside %s%s: ", workload, ratio,
        has_beside ? "goodput" : "throughput", best_name, ms(worst_p99("auto")),
        ms(worst_p99(best_name)), light
    printf "the aim, within 10 %% of the best static setting, %s.\n", holds ? "HOLDS" : "FALLS SHORT"
}

function cell(name, key,    k, text) {
    for (k = 1; k <= n_kinds; k++)
        if (kind_list[k] != "light" || !has_beside)
            text = text (text == "" ? "" : ", ") ms(figure(name, 0, kind_list[k], key))
    printf "%s | ", text
}

# A phase counts as much as the other, however many answers it can have: in each, the share of what
# the best setting has, auto among them.
function index_of(name, key,    p, i, most, sum) {
    for (p = 0; p < n_phases; p++) {
        most = 0
        for (i = 1; i <= n_names; i++)
            if (work(names[i], p, key) > most)
                most = work(names[i], p, key)
        sum += most > 0 ? work(name, p, key) / most : 0
    }
    return 100 * sum / n_phases
}

function best_static(key,    i, best) {
    best = ""
    for (i = 2; i <= n_names; i++)
        if (best == "" || index_of(names[i], key) > index_of(best, key))
            best = names[i]
    return best
}

function compared(key,    best) {
    best = best_static(key)
    return sprintf("%.0f beside %.0f (%s)", index_of("auto", key), index_of(best, key), best)
}

function print_shift(    i, p, name, key, n_limits, limits, k) {
    key = "good_" limit
    printf "| setting | index | by throughput |"
    for (p = 0; p < n_phases; p++)
        printf " %s/s | goodput/s | p99 ms | light p99 ms |", kind_of[p]
    printf " failed |\n| --- | ---: | ---: |"
    for (p = 0; p < n_phases; p++)
        printf " ---: | ---: | ---: | ---: |"
    print " ---: |"
    for (i = 1; i <= n_names; i++) {
        name = names[i]
        printf "| %s | %.0f | %.0f |", name, index_of(name, key), index_of(name, "rps")
        for (p = 0; p < n_phases; p++)
            printf " %.0f | %.0f | %s | %s |", work(name, p, "rps"), work(name, p, key),
                ms(figure(name, p, kind_of[p], "p99_us")), ms(figure(name, p, "light", "p99_us"))
        printf " %d |\n", failures(name)
    }
    if (n_names < 2)
        return
    printf "\n%s: goodput at a limit of %d ms: auto has %s: ", workload, limit, compared(key)
    printf "the aim, better than any single static setting, %s.\n",
        (index_of("auto", key) > index_of(best_static(key), key) ? "HOLDS" : "FALLS SHORT")
    n_limits = split("1 2 3 5 10", limits, " ")
    printf "At other limits:"
    for (k = 1; k <= n_limits; k++)
        if (limits[k] != limit)
            printf " %d ms: %s;", limits[k], compared("good_" limits[k])
    printf " by throughput alone: %s.\n", compared("rps")
}

{
    delete value
    for (i = 1; i <= NF; i++) {
        split($i, pair, "=")
        value[pair[1]] = pair[2]
    }
    if (value["workload"] != workload)
        next
    if (!(value["kind"] in kinds)) {
        kinds[value["kind"]] = 1
        kind_list[++n_kinds] = value["kind"]
    }
    if (first_kind == "")
        first_kind = value["kind"]
    if (value["kind"] != "light")
        kind_of[value["phase"]] = value["kind"]
    if (value["phase"] >= n_phases)
        n_phases = value["phase"] + 1
    for (i in value)
        at[value["setting"], value["round"], value["phase"], value["kind"], i] = value[i]
}

END {
    n_names = split(name_list, names, " ")
    has_beside = workload == "mix" || workload == "shift"
    printf "\n### %s\n\n", workload
    if (n_phases > 1)
        print_shift()
    else
        print_steady()
}
