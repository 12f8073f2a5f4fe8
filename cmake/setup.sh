# shellcheck shell=bash
# What ./quickstart and ./test share: finding what is missing on this machine, installing it through
# apt-get, configuring a build. Sourced; the caller has set -euo pipefail and is at the root.
#
# A need is a row of the table: what proves that it is there, its names, and what it is for.
# Nothing is installed when everything is there, whatever the distribution.

# proof                         Debian        Fedora           Arch       Alpine        what it is for
setup_table='
command:cc                      gcc           gcc              gcc        gcc           compiles the server and your apps
header:stdio.h                  libc6-dev     glibc-devel      glibc      musl-dev      headers of the C library
command:cmake                   cmake         cmake            cmake      cmake         describes the build (3.25 or later)
command:ninja                   ninja-build   ninja-build      ninja      ninja-build   runs the build
header:ev.h                     libev-dev     libev-devel      libev      libev-dev     event loop of the workers
header:yaml.h                   libyaml-dev   libyaml-devel    libyaml    yaml-dev      reads remuda.yaml
llhttp                          node-llhttp   llhttp-devel     llhttp     llhttp-dev    parses HTTP/1
'
# Built without where it is not there; so only installed where that needs no questions.
setup_table_wished='
header:elfutils/libdwfl.h       libdw-dev     elfutils-devel   libelf     elfutils-dev  names of functions in backtraces
'
# The same; by those who test, since libgd brings many packages along.
setup_table_wished_tests='
header:gd.h                     libgd-dev     gd-devel         gd         gd-dev        examples/thumbnail
header:argon2.h                 libargon2-dev libargon2-devel  argon2     argon2-dev    examples/password
header:sqlite3.h                libsqlite3-dev sqlite-devel    sqlite     sqlite-dev    examples/password
command:promtool                prometheus    -                prometheus prometheus    checks /metrics, and scrapes it
'
setup_table_tests='
header:cmocka.h                 libcmocka-dev libcmocka-devel  cmocka     cmocka-dev    unit tests
command:clang                   clang         clang            clang      clang         second compiler, second set of warnings
command:clang-format            clang-format  clang-tools-extra clang     clang-extra-tools  checks the layout of the source
command:valgrind                valgrind      valgrind         valgrind   valgrind      memory checks of the unit tests
command:pkg-config              pkgconf       pkgconf          pkgconf    pkgconf       finds an installed library, as an app would
debug-libc                      libc6-dbg     -                -          -             valgrind needs the C library'"'"'s symbols
'

setup_say() {
    printf '%s\n' "$*"
}

setup_die() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Whether a header is where the compiler looks; by file name, since there may be no compiler yet.
setup_has_header() {
    local dir
    for dir in /usr/include /usr/local/include /usr/include/*-linux-gnu; do
        [ -e "$dir/$1" ] && return 0
    done
    return 1
}

setup_has() {
    case $1 in
    command:*) command -v "${1#command:}" > /dev/null 2>&1 ;;
    header:*) setup_has_header "${1#header:}" ;;
    file:*) [ -e "${1#file:}" ] ;;
    llhttp)
        { [ -e /usr/share/llhttp/llhttp.c ] && [ -e /usr/share/include/llhttp/llhttp.h ]; } ||
            setup_has_header llhttp.h
        ;;
    debug-libc)
        # Only Debian and its children strip what valgrind has to find.
        ! command -v dpkg-query > /dev/null 2>&1 ||
            [ "$(dpkg-query -W -f '${db:Status-Status}' libc6-dbg 2> /dev/null || true)" = installed ]
        ;;
    esac
}

# Rows of the table given that are not satisfied.
setup_missing_rows() {
    local proof rest
    while read -r proof rest; do
        [ -z "$proof" ] || setup_has "$proof" || printf '%s %s\n' "$proof" "$rest"
    done <<< "$1"
}

# apt-get as root, without questions, waiting for another apt-get that holds the lock.
setup_apt_get() {
    local -a as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo > /dev/null 2>&1 ||
            setup_die "Installing packages needs root, and there is no sudo here. As root: apt-get install ${setup_packages[*]}"
        as_root=(sudo)
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes \
        apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 -qq "$@" < /dev/null
}

setup_apt_knows() {
    local candidate
    candidate=$(apt-cache policy "$1" 2> /dev/null | awk '$1 == "Candidate:" { print $2 }')
    [ -n "$candidate" ] && [ "$candidate" != "(none)" ]
}

# Debian 13 and later have llhttp as a library; Debian 12 has its sources in node-llhttp.
setup_apt_name() {
    if [ "$1" = node-llhttp ]; then
        local version
        version=$(apt-cache policy libllhttp-dev 2> /dev/null | awk '$1 == "Candidate:" { print $2 }')
        case $version in
        '' | '(none)' | [0-8].*) ;;
        *) printf 'libllhttp-dev\n' && return ;;
        esac
    fi
    printf '%s\n' "$1"
}

# Sets setup_packages to the names of packages for the rows given.
setup_apt_names() {
    local proof debian rest
    setup_packages=()
    while read -r proof debian rest; do
        setup_packages+=("$(setup_apt_name "$debian")")
    done <<< "$1"
}

setup_apt_install() {
    local proof fedora arch alpine why name needs_update=0
    setup_apt_names "$1"
    for name in "${setup_packages[@]}"; do
        setup_apt_knows "$name" || needs_update=1
    done
    if [ "$needs_update" = 1 ]; then
        setup_say "Updating apt's package lists (a package that is needed is not in them)."
        setup_apt_get update
        setup_apt_names "$1" # with the lists, llhttp may have another name
    fi
    setup_say "Installing with apt-get (this can take a minute):"
    while read -r proof name fedora arch alpine why; do
        printf '    %-14s %s\n' "$(setup_apt_name "$name")" "$why"
    done <<< "$1"
    if ! setup_apt_get install -y --no-install-recommends "${setup_packages[@]}" > /dev/null; then
        [ "$needs_update" = 0 ] || setup_die "apt-get could not install: ${setup_packages[*]}"
        setup_say "That failed; the package lists may be old. Updating them and trying once more."
        setup_apt_get update
        setup_apt_get install -y --no-install-recommends "${setup_packages[@]}" > /dev/null ||
            setup_die "apt-get could not install: ${setup_packages[*]}"
    fi
    # The package begins to serve on port 9090; only its programs are wanted.
    case " ${setup_packages[*]} " in
    *" prometheus "*)
        if [ "$(id -u)" -eq 0 ]; then
            systemctl disable --now prometheus > /dev/null 2>&1 || true
        else
            sudo systemctl disable --now prometheus > /dev/null 2>&1 || true
        fi
        ;;
    esac
}

# No apt-get: says what to install, by the names of the package manager that is there, and ends.
setup_explain() {
    local proof debian fedora arch alpine why column=debian command='' name
    if command -v dnf > /dev/null 2>&1; then
        column=fedora command='dnf install'
    elif command -v pacman > /dev/null 2>&1; then
        column=arch command='pacman -S'
    elif command -v apk > /dev/null 2>&1; then
        column=alpine command='apk add'
    fi
    {
        echo "Something is missing, and only Debian's apt-get is known to this script. Please install:"
        local names=()
        while read -r proof debian fedora arch alpine why; do
            name=${!column}
            [ "$name" = - ] && continue
            names+=("$name")
            printf '    %-18s %s\n' "$name" "$why"
        done <<< "$1"
        if [ -n "$command" ]; then
            echo "for example: $command ${names[*]}"
        else
            echo "(these are Debian's names), then run this command again."
        fi
    } >&2
    exit 1
}

setup_can_install() {
    command -v apt-get > /dev/null 2>&1 &&
        { [ "$(id -u)" -eq 0 ] || command -v sudo > /dev/null 2>&1; }
}

# Makes sure that everything in the tables given is there.
setup_require() {
    local missing version wished=
    if setup_can_install; then
        wished=$setup_table_wished
    fi
    missing=$(setup_missing_rows "$*$wished")
    if [ -n "$missing" ]; then
        command -v apt-get > /dev/null 2>&1 || setup_explain "$missing"
        setup_apt_install "$missing"
        missing=$(setup_missing_rows "$*")
        [ -z "$missing" ] || setup_die "Installed, but still not found: $missing"
    fi
    version=$(cmake --version | awk 'NR == 1 { print $3 }')
    case $version in
    3.[0-9] | 3.[0-9].* | 3.1[0-9] | 3.1[0-9].* | 3.2[0-4] | 3.2[0-4].* | [0-2].*)
        setup_die "cmake $version is too old: 3.25 or later is needed (Debian 12 and Ubuntu 24.04 have it, or cmake.org/download)."
        ;;
    esac
}

# Configures build/<preset>, again from nothing when what is there was made by another tree, another
# cmake or a machine that has changed. Output only when it fails.
#   $1 preset   $2… further arguments of cmake
setup_configure() {
    local preset=$1 log=build/configure-$1.log cache=build/$1/CMakeCache.txt
    shift
    mkdir -p build
    if [ -e "$cache" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" "$cache"; then
        rm -rf "build/$preset"
    fi
    if [ -e "$cache" ] && cmake --preset "$preset" "$@" > "$log" 2>&1; then
        return 0
    fi
    if ! cmake --fresh --preset "$preset" "$@" > "$log" 2>&1; then
        cat "$log" >&2
        setup_die "cmake could not configure build/$preset."
    fi
}

setup_jobs() {
    nproc 2> /dev/null || echo 2
}
