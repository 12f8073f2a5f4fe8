# shellcheck shell=bash
# What the commands of bench/ share; sourced, not run.
#
# Builds into build/bench, starts and stops servers, and reads their CPU time and memory from /proc.
# Every server is a child of the script, stopped by its pid, also when the script ends early; files
# lie in one temporary folder that goes with it. Ports are the kernel's choice, never fixed.

set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build/bench
me=bench/$(basename "$0")

declare -A server_pid=()    # name -> the process to stop
declare -A server_port=()   # name -> its port on 127.0.0.1
declare -A server_worker=() # name -> the process that answers; several: words
prefix=()                   # put before a server's command: taskset, valgrind
start_seconds=20            # a server that does not answer by then has failed

tmp=$(mktemp -d)
chmod 755 "$tmp" # nginx's worker gives up root and still opens files below

say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() { say "$*"; exit 1; }
usage() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit "$1"; }

bench_cleanup() {
    local status=$? name
    trap - EXIT INT TERM HUP
    for name in "${!server_pid[@]}"; do server_stop "$name" || true; done
    rm -rf "$tmp"
    exit "$status"
}
trap bench_cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

need() {
    local tool
    for tool; do
        command -v "$tool" >/dev/null || die "$tool is missing; install it (Debian: apt-get install $tool)"
    done
}

# bench_build TARGET…: release, with the references.
bench_build() {
    need cmake
    { cmake -S "$root" --preset release -B "$build" -DREMUDA_BENCH=ON -DREMUDA_TESTS=OFF &&
        cmake --build "$build" --target "$@"; } >"$tmp/build.log" 2>&1 || {
        cat "$tmp/build.log" >&2
        die "the build failed"
    }
}

# The targets that a list of contenders needs.
targets_for() {
    local targets=(bench_references)
    case " $* " in *' remuda'*) targets+=(remuda example_demo bench_app) ;; esac
    echo "${targets[@]}"
}

# ---- Processes

# cpu_ns PID: nanoseconds on a CPU, user and kernel, of all its threads. In base 10 whatever zeros
# it begins with.
cpu_ns() { echo $((10#$("$build/bench/cpu_ns" "$1"))); }

# workers_ns NAME: of all that answer for a server.
workers_ns() {
    local pid sum=0
    for pid in ${server_worker[$1]}; do sum=$((sum + $(cpu_ns "$pid"))); done
    echo "$sum"
}

# family_ns PID: CPU time of a process and all its descendants.
family_ns() {
    local pid sum
    sum=$(cpu_ns "$1")
    for pid in $(cat "/proc/$1/task"/*/children); do
        sum=$((sum + $(family_ns "$pid")))
    done
    echo "$sum"
}

# descends_from PID ANCESTOR
descends_from() {
    local pid=$1
    while [ "$pid" -gt 1 ]; do
        [ "$pid" != "$2" ] || return 0
        pid=$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status") || return 1
    done
    return 1
}

is_alive() { [ -e "/proc/$1" ] && ! grep -q '^State:.[ZX]' "/proc/$1/status" 2>/dev/null; }

# wait_until SECONDS COMMAND…: asks every 20 ms until the command says yes.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.02
    done
}

is_gone() { ! is_alive "$1"; }

# nginx in one process looks at its flag and then waits without a limit: a signal between the two, a
# wide gap under callgrind, is noticed at the next event. So it gets one.
has_stopped() {
    ! is_gone "$2" || return 0 # the 0 matters: a bare return in a trap has the status from before it
    [ "$1" != nginx ] || is_answering "${server_port[nginx]}" || true
    return 1
}

server_stop() {
    local name=$1 pid=${server_pid[$1]:-}
    [ -n "$pid" ] || return 0
    unset "server_pid[$name]"
    kill -TERM "$pid" 2>/dev/null || true
    if ! wait_until "$start_seconds" has_stopped "$name" "$pid"; then
        say "$name (pid $pid) did not stop on TERM within $start_seconds s: killed"
        kill -KILL "$pid" 2>/dev/null || true
    fi
    wait "$pid" 2>/dev/null || true
}

# ---- Talking to a server

is_answering() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# http_get PORT TARGET: the answer, head and body.
http_get() {
    local fd
    exec {fd}<>"/dev/tcp/127.0.0.1/$1"
    printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' "$2" >&"$fd"
    cat <&"$fd"
    exec {fd}>&-
}

# answer_of NAME OPTION…: "answer_bytes body_hash" of one answer to what was set.
answer_of() {
    "$build/bench/bench_client" --port "${server_port[$1]}" --target "$answer_target" "${@:2}" |
        sed -n 's/.*answer_bytes=\([0-9]*\).*body_hash=\(.*\)/\1 \2/p'
}

# ---- What is answered

# set_answer TARGET TYPE BODY: what servers say to TARGET that cannot know it by themselves. \n and
# its like in the body are written as in C; @65536 is so many zeros, @json 1 KiB of JSON. Servers
# take it as text (answer_body, but for zeros), or from the file whose path below $tmp/www is the
# target's.
set_answer() {
    local path=${1%%\?*}
    [ "$path" != / ] || path=/index
    answer_target=$1 answer_type=$2 answer_body=$3 answer_file=$tmp/www$path
    mkdir -p "${answer_file%/*}"
    case $3 in
    @json) answer_body=$(json_1k) && printf %s "$answer_body" ;;
    @*) head -c "${3#@}" /dev/zero ;;
    *) printf '%b' "$3" ;;
    esac >"$answer_file"
}

json_1k() {
    awk 'BEGIN {
        text = "{\"users\":["
        user = "{\"id\":%d,\"name\":\"user %02d\",\"mail\":\"user%02d@example.org\",\"score\":%d}"
        for (i = 1; i <= 12; i++)
            text = text (i > 1 ? "," : "") sprintf(user, 1000 + i, i, i, 17 * i + 100)
        text = text "],\"note\":\""
        while (length(text) < 1022) text = text "."
        printf "%s\"}", text
    }'
}

# ---- Starting one: start_<contender>, with _ for each -; each sets server_port and server_worker.
# Those of others are in peers.sh.

single=   # not empty: one process, no fork
connections_max=4096 # that a worker of remuda or nginx holds
remuda_options=()    # more of remuda's command line

# spawn NAME COMMAND…: starts it behind $prefix with its output in $tmp/NAME.log.
spawn() {
    local name=$1
    shift
    : >"$tmp/$name.log"
    "${prefix[@]}" "$@" >"$tmp/$name.log" 2>&1 </dev/null &
    server_pid[$name]=$!
    server_worker[$name]=$!
}

failed_to_start() {
    sed 's/^/    /' "$tmp/$1.log" >&2
    die "$1 did not start"
}

# port_from NAME SED-SCRIPT: waits until the server's output names its port.
port_from() {
    local name=$1 script=$2 deadline=$((SECONDS + start_seconds)) port=
    until port=$(sed -n "$script" "$tmp/$name.log" | head -n 1) && [ -n "$port" ]; do
        if [ "$SECONDS" -ge "$deadline" ] || is_gone "${server_pid[$name]}"; then
            failed_to_start "$name"
        fi
        sleep 0.02
    done
    server_port[$name]=$port
    wait_until "$start_seconds" is_answering "$port" || failed_to_start "$name"
}

start_reference() {
    spawn "$1" "$build/bench/$1" 0 "$answer_type" "@$answer_file"
    port_from "$1" 's/^\([0-9][0-9]*\)$/\1/p'
}
start_raw_epoll() { start_reference raw_epoll; }
start_libev_llhttp() { start_reference libev_llhttp; }

# start_remuda [NAME OPTION…]: with the demo, where it has what is asked for.
start_remuda() {
    local name=${1:-remuda} how=(--workers 1) app=examples/demo/demo.so pid
    [ -z "$single" ] || how=(--single)
    case $answer_target in
    /files/*) how+=(--static "/files/=$tmp/www/files") ;;
    /body) app=bench/bench.so how+=(--set "app_config.body=$answer_file") ;;
    /res* | /upload | /io) app=bench/bench.so ;;
    esac
    how+=(--worker-connections "$connections_max" "${remuda_options[@]}" "${@:2}")
    # From an empty folder, so that no remuda.yaml of the caller's is read.
    mkdir -p "$tmp/empty"
    pushd "$tmp/empty" >/dev/null
    spawn "$name" "$build/remuda" run "${how[@]}" --bind 127.0.0.1:0 "$build/$app"
    popd >/dev/null
    port_from "$name" 's/.*listening.*http:\/\/127\.0\.0\.1:\([0-9][0-9]*\).*/\1/p'
    [ -z "$single" ] || return 0
    pid=$(http_get "${server_port[$name]}" /info | sed -n 's/.*"pid": *\([0-9][0-9]*\).*/\1/p')
    [ -n "$pid" ] || die "GET /info of $app names no pid"
    descends_from "$pid" "${server_pid[$name]}" || die "the worker $pid is not a child of our $name"
    server_worker[$name]=$pid
}

start_remuda_sync() { start_remuda remuda-sync --worker-class sync; }

# The control of the scenario io: the same route, on the loop.
start_remuda_inline() {
    printf 'routes: {"GET /io": {lane: inline}}\n' >"$tmp/io-inline.yaml"
    start_remuda remuda-inline -c "$tmp/io-inline.yaml"
}

# A port that was free a moment ago.
free_port() {
    local out=$tmp/port pid
    : >"$out" # emptied here: the last call's port would look like an answer, and TERM be too early
    "$build/bench/raw_epoll" 0 >"$out" &
    pid=$!
    wait_until 5 test -s "$out" || say "raw_epoll names no port"
    kill "$pid"
    wait "$pid" 2>/dev/null || true
    cat "$out"
}

# match NAME BYTES OPTION…: heads differ in fields that we can't choose; a shorter or longer
# Content-Type makes a server's answer as long as the others'. False when that cannot be.
match() {
    local got type_len answer_type=$answer_type
    got=$(answer_of "$1" "${@:3}")
    type_len=$((${#answer_type} + $2 - ${got% *}))
    [ "$type_len" -gt 0 ] || return 1
    while [ "${#answer_type}" -lt "$type_len" ]; do answer_type+=x; done
    answer_type=${answer_type:0:type_len}
    server_stop "$1"
    start_server "$1"
}

start_server() { "start_${1//-/_}"; }
is_server() { declare -F "start_${1//-/_}" >/dev/null; }

# ---- About the machine, for the line above a table

about() {
    local cpu commit
    cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
    commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)
    git -C "$root" diff --quiet HEAD -- 2>/dev/null || commit+=' with changes'
    printf '%s, %s CPUs, Linux %s, commit %s, %s\n' "${cpu:-$(uname -m)}" "$(nproc)" "$(uname -r)" \
        "$commit" "$(date -u +%Y-%m-%d)"
}

. "$root/bench/peers.sh"
set_answer / 'text/plain; charset=utf-8' 'hello\n'
