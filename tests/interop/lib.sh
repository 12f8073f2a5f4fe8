# shellcheck shell=bash
# What tests/interop/run stands on: lines of the report, processes that end with it, ports, and
# connections as the kernel counts them. Sourced; the caller has set -euo pipefail.

tmp=$(mktemp -d)
chmod 755 "$tmp" # nginx's and HAProxy's workers give up root and still open files below
PATH=$PATH:/usr/sbin:/sbin # Debian: nginx and HAProxy

n_passed=0 n_failed=0 n_skipped=0
declare -A pid_of=() # name -> a process of ours, stopped at the end

lib_cleanup() {
    local status=$? name
    trap - EXIT INT TERM HUP
    for name in "${!pid_of[@]}"; do stop "$name" || true; done
    rm -rf "$tmp"
    exit "$status"
}
trap lib_cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- The report

report() {
    printf '%-5s %-14s %-38s %s\n' "$1" "$2" "$3" "$4"
    case $1 in
    PASS) n_passed=$((n_passed + 1)) ;;
    FAIL) n_failed=$((n_failed + 1)) ;;
    SKIP) n_skipped=$((n_skipped + 1)) ;;
    esac
}
skip() { report SKIP "$@"; }

# check CLIENT WHAT COMMAND…: its last line of output is the figure; when it fails, all of it is
# shown. The command runs in a subshell where the first error ends it.
check() {
    local client=$1 what=$2 status
    shift 2
    set +e
    (
        set -e
        "$@"
    ) >"$tmp/check.out" 2>"$tmp/check.err" </dev/null
    status=$?
    set -e
    if [ "$status" = 0 ]; then
        report PASS "$client" "$what" "$(tail -n 1 "$tmp/check.out")"
    else
        report FAIL "$client" "$what" "exit status $status"
        tail -n 15 "$tmp/check.out" "$tmp/check.err" | cat -v | cut -c 1-600 | sed 's/^/      /'
    fi
}

# check_lines CLIENT COMMAND…: its output is a line for each check: PASS or FAIL, what, figure.
check_lines() {
    local client=$1 status=0 verdict what figure n=0
    shift
    "$@" >"$tmp/lines.out" 2>"$tmp/lines.err" </dev/null || status=$?
    while IFS=$'\t' read -r verdict what figure; do
        case $verdict in PASS | FAIL) report "$verdict" "$client" "$what" "$figure" && n=$((n + 1)) ;; esac
    done <"$tmp/lines.out"
    [ "$status" = 0 ] && [ "$n" -gt 0 ] && return
    report FAIL "$client" "all of it" "exit status $status after $n lines"
    tail -n 15 "$tmp/lines.err" | sed 's/^/      /'
}

# expect WHAT GOT WANTED, inside a check.
expect() {
    [ "$2" = "$3" ] && return
    printf '%s: got "%s", wanted "%s"\n' "$1" "$2" "$3"
    return 1
}

expect_at_most() {
    [ "$2" -le "$3" ] && return
    printf '%s: got %s, wanted at most %s\n' "$1" "$2" "$3"
    return 1
}

# ---- Processes

is_alive() { [ -e "/proc/$1" ] && ! grep -q '^State:.[ZX]' "/proc/$1/status" 2>/dev/null; }
is_gone() { ! is_alive "$1"; }

# wait_until SECONDS COMMAND…: asks every 20 ms until the command says yes.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.02
    done
}

# start NAME COMMAND…: in the background, its output in $tmp/NAME.log.
start() {
    local name=$1
    shift
    : >"$tmp/$name.log" # somebody may look before the process is there
    "$@" >"$tmp/$name.log" 2>&1 </dev/null &
    pid_of[$name]=$!
}

# stop NAME: TERM, then KILL. Returns its exit status
stop() {
    local pid=${pid_of[$1]:-} status=0
    [ -n "$pid" ] || return 0
    unset "pid_of[$1]"
    kill -TERM "$pid" 2>/dev/null || true
    wait_until 20 is_gone "$pid" || kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || status=$?
    return "$status"
}

show_log() {
    printf '%s says:\n' "$1" >&2
    tail -n 20 "$tmp/$1.log" | sed 's/^/      /' >&2
}

# ---- Ports and connections

# A port that was free a moment ago: for those who cannot be told to let the kernel choose.
free_port() {
    python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

is_answering() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# connections PORT: client ports of all connections to it that the kernel knows, also of those that
# ended within the last minute (TIME_WAIT, on whichever side).
connections() {
    awk -v port="$(printf '%04X' "$1")" '
        { split($2, near, ":"); split($3, far, ":") }
        far[2] == "0000" { next }
        near[2] == port { print far[2] }
        far[2] == port { print near[2] }' /proc/net/tcp | sort -u
}

# new_connections PORT FILE: how many there are that FILE, an earlier list, does not have.
new_connections() {
    connections "$1" >"$tmp/now"
    comm -13 "$2" "$tmp/now" | wc -l
}
