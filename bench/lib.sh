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
declare -A server_worker=() # name -> the process that answers
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
    local targets=(bench_references) name
    for name; do [ "$name" != remuda ] || targets+=(remuda example_demo); done
    echo "${targets[@]}"
}

# ---- Processes

# cpu_ns PID: nanoseconds on a CPU, user and kernel, of all its threads. In base 10 whatever zeros
# it begins with.
cpu_ns() { echo $((10#$("$build/bench/cpu_ns" "$1"))); }

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

# answer_of NAME TARGET [--close]: "answer_bytes body_hash" of one answer.
answer_of() {
    "$build/bench/bench_client" --port "${server_port[$1]}" --target "$2" ${3:+"$3"} |
        sed -n 's/.*answer_bytes=\([0-9]*\).*body_hash=\(.*\)/\1 \2/p'
}

# ---- Starting one: start_<contender>; each sets server_port and server_worker.
# answer_type and answer_body are what those servers say that cannot know it by themselves; \n and
# its like in the body are written as in C.

answer_type='text/plain; charset=utf-8'
answer_body='hello\n'
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
    local body
    printf -v body '%b' "$answer_body"
    spawn "$1" "$build/bench/$1" 0 "$answer_type" "$body"
    port_from "$1" 's/^\([0-9][0-9]*\)$/\1/p'
}
start_raw_epoll() { start_reference raw_epoll; }
start_libev_llhttp() { start_reference libev_llhttp; }

start_remuda() {
    local how=(--workers 1) pid
    [ -z "$single" ] || how=(--single)
    how+=(--worker-connections "$connections_max" "${remuda_options[@]}")
    # From an empty folder, so that no remuda.yaml of the caller's is read.
    mkdir -p "$tmp/empty"
    pushd "$tmp/empty" >/dev/null
    spawn remuda "$build/remuda" run "${how[@]}" --bind 127.0.0.1:0 "$build/examples/demo/demo.so"
    popd >/dev/null
    port_from remuda 's/.*listening.*http:\/\/127\.0\.0\.1:\([0-9][0-9]*\).*/\1/p'
    [ -z "$single" ] || return 0
    pid=$(http_get "${server_port[remuda]}" /info | sed -n 's/.*"pid": *\([0-9][0-9]*\).*/\1/p')
    [ -n "$pid" ] || die "GET /info of the demo names no pid"
    descends_from "$pid" "${server_pid[remuda]}" || die "the worker $pid is not a child of our remuda"
    server_worker[remuda]=$pid
}

# A port that was free a moment ago. nginx cannot be told to choose, so start_nginx tries again when
# somebody else was faster.
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

nginx_config() {
    cat <<END
daemon off;
master_process $([ -z "$single" ] && echo on || echo off);
worker_processes 1;
pid $tmp/nginx.pid;
error_log stderr warn;
events { worker_connections $connections_max; }
http {
    access_log off;
    server_tokens off;
    keepalive_requests 2000000000;
    client_body_temp_path $tmp/nginx-body;
    proxy_temp_path $tmp/nginx-proxy;
    fastcgi_temp_path $tmp/nginx-fastcgi;
    uwsgi_temp_path $tmp/nginx-uwsgi;
    scgi_temp_path $tmp/nginx-scgi;
    default_type "$answer_type";
    server {
        listen 127.0.0.1:$1 backlog=4096;
        location / { add_header X-Request-ID \$request_id; return 200 '$answer_body'; }
    }
}
END
}

start_nginx() {
    local port try
    for try in 1 2 3; do
        port=$(free_port)
        nginx_config "$port" >"$tmp/nginx.conf"
        spawn nginx "$(nginx_binary)" -p "$tmp" -e stderr -c "$tmp/nginx.conf"
        server_port[nginx]=$port
        wait_until "$start_seconds" nginx_settled "$port" || failed_to_start nginx
        is_alive "${server_pid[nginx]}" && break
        [ "$try" -lt 3 ] || failed_to_start nginx
    done
    [ -z "$single" ] || return 0
    server_worker[nginx]=$(cat "/proc/${server_pid[nginx]}/task/${server_pid[nginx]}/children")
    server_worker[nginx]=${server_worker[nginx]// /}
}
nginx_settled() { is_answering "$1" || is_gone "${server_pid[nginx]}"; }
nginx_binary() { PATH=$PATH:/usr/sbin command -v nginx; }

# match_nginx BYTES TARGET [--close]: nginx says `Connection: keep-alive` and its own name; a shorter
# or longer Content-Type makes its answer as long as the others'. False when that cannot be.
match_nginx() {
    local want=$1 got type_len
    shift
    got=$(answer_of nginx "$@")
    type_len=$((${#answer_type} + want - ${got% *}))
    [ "$type_len" -gt 0 ] || return 1
    local answer_type=$answer_type
    while [ "${#answer_type}" -lt "$type_len" ]; do answer_type+=x; done
    answer_type=${answer_type:0:type_len}
    server_stop nginx
    start_nginx
}

is_installed() {
    case $1 in
    nginx) nginx_binary >/dev/null ;;
    *) return 0 ;;
    esac
}

# ---- About the machine, for the line above a table

about() {
    local cpu commit
    cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
    commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)
    git -C "$root" diff --quiet HEAD -- 2>/dev/null || commit+=' with changes'
    printf '%s, %s CPUs, Linux %s, commit %s, %s\n' "${cpu:-$(uname -m)}" "$(nproc)" "$(uname -r)" \
        "$commit" "$(date -u +%Y-%m-%d)"
}
