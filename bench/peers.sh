# shellcheck shell=bash disable=SC2004,SC2034,SC2059,SC2154 # the variables are lib.sh's
# The servers that the commands of bench/ put beside remuda; sourced by lib.sh, not run.
#
# Each has a function start_NAME, and NAME_config where it reads a file. They answer what set_answer
# (lib.sh) has set, each in the way that its documentation has for it, with one worker, without an
# access log and without a limit on the requests of a connection. README.md says what else was
# chosen. A new peer is a function here, a line in is_installed, and its name in bench/run.

keep_alive_s=75

# start_told NAME COMMAND…: a server that cannot be told to choose its port. It gets one that was
# free a moment ago, and another when somebody else was faster.
start_told() {
    local name=$1 port try
    shift
    for try in 1 2 3; do
        port=$(free_port)
        "${name}_config" "$port" >"$tmp/$name.conf"
        spawn "$name" "$@"
        server_port[$name]=$port
        wait_until "$start_seconds" is_settled "$name" || failed_to_start "$name"
        is_alive "${server_pid[$name]}" && return 0
        [ "$try" -lt 3 ] || failed_to_start "$name"
    done
}
is_settled() { is_answering "${server_port[$1]}" || is_gone "${server_pid[$1]}"; }

# take_workers NAME: those who answer are the children of the process that was started.
take_workers() {
    wait_until "$start_seconds" has_children "${server_pid[$1]}" || failed_to_start "$1"
    server_worker[$1]=$(children_of "${server_pid[$1]}")
}
children_of() { xargs <"/proc/$1/task/$1/children"; }
has_children() { [ -n "$(children_of "$1")" ]; }

is_installed() {
    case $1 in
    nginx | lighttpd) binary_of "$1" >/dev/null ;;
    h2o | uwsgi | gunicorn) command -v "$1" >/dev/null ;;
    gunicorn-*) command -v gunicorn >/dev/null ;;
    microhttpd) [ -x "$build/bench/microhttpd" ] ;; # ask behind bench_build, likewise kore
    kore) command -v kore >/dev/null && [ -e "$build/bench/kore_app.so" ] ;;
    *) return 0 ;;
    esac
}
binary_of() { PATH=$PATH:/usr/sbin command -v "$1"; }

# routes_of FORMAT: a printf format with the number of a route in it, for each of the 200.
routes_of() {
    local i
    for i in {000..199}; do printf "$1" "$i"; done
}

# Only where files are what is asked for their heads have all that comes with files.
is_static() { [[ $answer_target == /files/* ]]; }

# ---- nginx

# Where a body is to be read, `mirror` makes nginx read all of it, into memory, before it answers;
# return alone would answer first and throw it away.
nginx_locations() {
    local text="add_header X-Request-ID \$request_id; return 200"
    case $answer_target in
    /files/*) echo "root $tmp/www;" ;;
    /bytes*) echo "root $tmp/www; etag off; max_ranges 0;" ;;
    /res*)
        routes_of "location /res%s/ {
            location ~ ^/res[0-9]+/([^/]+)/parts/([^/]+)\$ { $text '\$1 \$2\\\\n'; }
        }
        " ;;
    /upload)
        cat <<END
location = /upload { root $tmp/www; mirror /nothing; error_page 405 =200 /counted; }
location = /nothing { internal; return 204; }
location = /counted { internal; $text 'counted \$content_length\n'; }
END
        ;;
    *) echo "location / { $text '$answer_body'; }" ;;
    esac
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
    sendfile on;
    tcp_nopush on;
    client_max_body_size 16m;
    client_body_buffer_size 2m;
    client_body_temp_path $tmp/nginx-body;
    proxy_temp_path $tmp/nginx-proxy;
    fastcgi_temp_path $tmp/nginx-fastcgi;
    uwsgi_temp_path $tmp/nginx-uwsgi;
    scgi_temp_path $tmp/nginx-scgi;
    default_type "$answer_type";
    server {
        listen 127.0.0.1:$1 backlog=4096;
        $(nginx_locations)
    }
}
END
}

start_nginx() {
    start_told nginx "$(binary_of nginx)" -p "$tmp" -e stderr -c "$tmp/nginx.conf"
    [ -n "$single" ] || take_workers nginx
}

# ---- H2O: what is always the same comes from a file, the rest from its Ruby

h2o_ruby() {
    cat <<END
      "$1":
        mruby.handler: |
          Proc.new do |env|
            $2
            [200, {"content-type" => "$answer_type"}, [text]]
          end
END
}

# shellcheck disable=SC2016 # Ruby's
h2o_paths() {
    case $answer_target in
    /res*)
        routes_of "$(h2o_ruby /res%s \
            '_, id, _, part = env["PATH_INFO"].split("/"); text = "#{id} #{part}\\n"')
" ;;
    /upload) h2o_ruby /upload 'text = "counted #{env["rack.input"].read.length}\n"' ;;
    *) printf '      "%s":\n        file.file: %s\n' "${answer_target%%\?*}" "$answer_file" ;;
    esac
}

h2o_config() {
    cat <<END
num-threads: 1
max-connections: $connections_max
http1-request-timeout: $keep_alive_s
server-name: h2o
file.etag: $(is_static && echo ON || echo OFF)
file.mime.setdefaulttype: "$answer_type"
listen:
  host: 127.0.0.1
  port: $1
hosts:
  default:
    paths:
$(h2o_paths)
END
}

start_h2o() { start_told h2o h2o -c "$tmp/h2o.conf"; }

# ---- lighttpd: everything comes from a file

lighttpd_config() {
    cat <<END
server.document-root = "$tmp/www"
server.bind = "127.0.0.1"
server.port = $1
server.listen-backlog = 4096
server.max-connections = $connections_max
server.max-fds = $((2 * connections_max + 100))
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = $keep_alive_s
server.tag = "lighttpd"
server.range-requests = "$(is_static && echo enable || echo disable)"
static-file.etags = "$(is_static && echo enable || echo disable)"
index-file.names = ("index")
mimetype.assign = ("" => "$answer_type")
END
}

start_lighttpd() { start_told lighttpd "$(binary_of lighttpd)" -D -f "$tmp/lighttpd.conf"; }

# ---- microhttpd.c, which takes what the references take

start_microhttpd() { start_reference microhttpd; }

# ---- Kore: kore_app.c has the handlers

# The page is for a filemap. Each of the 200 routes has a regular expression, since that is the way
# that Kore has to parameters in a path.
kore_routes() {
    case $answer_target in
    /files/*) echo 'filemap /files/ files' ;;
    /bytes*) echo 'route /bytes give_file' ;;
    /res*) routes_of 'route ^/res%s/[^/]+/parts/[^/]+$ give_part
        ' ;;
    /upload) echo 'route /upload give_count' ;;
    *) echo "route $answer_target give_body" ;;
    esac
}

kore_config() {
    cat <<END
load $build/bench/kore_app.so
root $tmp/www
pidfile $tmp/kore.pid
workers 1
worker_set_affinity 0
worker_max_connections $connections_max
worker_rlimit_nofiles $((connections_max + 100))
socket_backlog 4096
http_request_limit $connections_max
http_keepalive_time $keep_alive_s
http_body_max 16777216
http_hsts_enable 0
http_server_version kore
http_media_type $answer_type bin
server bench {
    bind 127.0.0.1 $1
    tls no
}
domain * {
    attach bench
    $(kore_routes)
}
END
}

# In the foreground, without chroot, as who we are: the first takes root, and the parent forks a
# worker that can do no more than its list of system calls in any case.
start_kore() {
    start_told kore env BENCH_FILE="$answer_file" BENCH_TYPE="$answer_type" \
        kore -f -n -r -q -c "$tmp/kore.conf"
    take_workers kore
}

# ---- Python's

export PYTHONDONTWRITEBYTECODE=1 # no __pycache__ in the sources
py_app=peers_app                 # in bench/
py_workers=1
py_threads=4 # of a gthread worker

# spawn_python NAME COMMAND…
spawn_python() {
    spawn "$1" env BENCH_FILE="$answer_file" BENCH_TYPE="$answer_type" "${@:2}"
}

# spawn_gunicorn NAME OPTION…
spawn_gunicorn() {
    spawn_python "$1" gunicorn --bind 127.0.0.1:0 --workers "$py_workers" --chdir "$root/bench" \
        "${@:2}" "$py_app:application"
    port_from "$1" 's/.*Listening at: http:\/\/127\.0\.0\.1:\([0-9][0-9]*\).*/\1/p'
    take_workers "$1"
}

start_gunicorn() {
    spawn_gunicorn gunicorn --worker-class gthread --threads "$py_threads" \
        --keep-alive "$keep_alive_s" --worker-connections "$connections_max"
}

start_gunicorn_sync() { spawn_gunicorn gunicorn-sync; }

# Without --plugin a uwsgi from pip, which has Python built in, would do as well.
start_uwsgi() {
    local plugin=()
    ! uwsgi --plugin python3 --version >/dev/null 2>&1 || plugin=(--plugin python3)
    spawn_python uwsgi uwsgi "${plugin[@]}" --http-socket 127.0.0.1:0 --master --need-app \
        --die-on-term --processes "$py_workers" --listen 1024 --disable-logging \
        --add-header 'Connection: close' --wsgi-file "$root/bench/$py_app.py"
    port_from uwsgi 's/.*bound to TCP address 127\.0\.0\.1:\([0-9][0-9]*\).*/\1/p'
    take_workers uwsgi
}
