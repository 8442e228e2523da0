#!/usr/bin/env bash
# Installs what Spark's build, tests and `automagik-spark dev` need and this machine lacks: PostgreSQL, Redis (or
# Valkey), setpriv, a C compiler; and what the arguments name: `browser` Chromium, in which tests open pages, `prometheus`
# Prometheus, with which tests try the alerts, `systemd` systemd-analyze, which checks the unit, `fuzz` a C++ compiler for
# the fuzz targets, `pgbouncer` PgBouncer, through which tests reach PostgreSQL. Debian and Ubuntu. The packages' own servers are not started by it; whoever does not want them after
# the next boot either says `systemctl disable postgresql redis-server`.
set -euo pipefail

policy=/usr/sbin/policy-rc.d

say() { printf 'setup: %s\n' "$*"; }
has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

# Debian keeps the server's programs off the PATH, in a directory for each version.
has_postgres() {
    local initdb
    for initdb in /usr/lib/postgresql/*/bin/initdb; do
        [ -x "$initdb" ] && [ -x "${initdb%initdb}postgres" ] && return 0
    done
    has initdb && has postgres
}

missing=()
has_postgres || missing+=(postgresql)
has redis-server || has valkey-server || missing+=(redis-server)
has setpriv || missing+=(util-linux)
has cc || missing+=(gcc libc6-dev)
has pkg-config || missing+=(pkg-config)
for wanted in "$@"; do
    case $wanted in
    browser) has chromium || has chromium-browser || has google-chrome || has google-chrome-stable || missing+=(chromium) ;;
    prometheus) has prometheus && has promtool || missing+=(prometheus) ;;
    systemd) has systemd-analyze || missing+=(systemd) ;;
    pgbouncer) has pgbouncer || missing+=(pgbouncer) ;;
    fuzz) has c++ || missing+=(g++) ;;
    *) say "there is nothing called $wanted to install; known are browser, prometheus, pgbouncer, systemd and fuzz" >&2; exit 2 ;;
    esac
done

if ! has cargo; then
    say "cargo is not on the PATH: install Rust first, see https://rustup.rs" >&2
    exit 1
fi
if [ ${#missing[@]} -eq 0 ]; then
    say "everything is there"
    exit 0
fi
if ! has apt-get; then
    say "missing: ${missing[*]}. There is no apt-get here: install their equivalents with this system's tool" >&2
    exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! has sudo; then
        say "missing: ${missing[*]}. Run as root: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

# While this runs, packages may not start services: a file of ours, unless the machine has one of its own.
if [ ! -e "$policy" ]; then
    restore() { "${as_root[@]}" rm -f "$policy"; }
    trap restore EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\n# Of scripts/setup.sh, for the time of an installation.\nexit 101\n' |
        "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
fi

apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
        apt-get -y -q -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold "$@" </dev/null
}

say "missing: ${missing[*]}; installing with apt-get"
# Without package lists (a fresh container) or with old ones the first try fails; then they are fetched.
have_lists() { [ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -print -quit 2>/dev/null)" ]; }
fresh=no
if ! have_lists; then
    say "fetching the package lists"
    apt update
    fresh=yes
fi
if ! apt install --no-install-recommends "${missing[@]}"; then
    [ "$fresh" = no ] || exit 1
    say "that failed; fetching the package lists and trying once more"
    apt update
    apt install --no-install-recommends "${missing[@]}"
fi

has_postgres || { say "PostgreSQL was installed but initdb is not found below /usr/lib/postgresql" >&2; exit 1; }
has redis-server || has valkey-server || { say "Redis was installed but redis-server is not found" >&2; exit 1; }
say "done"
