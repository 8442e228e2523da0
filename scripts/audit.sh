#!/usr/bin/env bash
# Checks what Spark is built from: licences, where crates come from, what deny.toml bans, versions that were withdrawn
# ("yanked"), and known vulnerabilities (RustSec).
#
#   scripts/audit.sh [--require-advisories]
#
# All but the last needs crates.io only. The database of vulnerabilities lives on GitHub: a machine that does not reach it
# is told that this was not checked, and fails only with --require-advisories.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(scripts/cargo-tools.sh)
export PATH=$tools:$PATH
locks=(Cargo.lock)

cargo deny --locked check --hide-inclusion-graph bans licenses sources

# One clone, for both tools. cargo-deny names it after the repository.
databases=$PWD/target/advisory-dbs
if why=$(timeout 120 cargo deny --config deny.toml fetch db 2>&1); then
    cargo deny --locked check --hide-inclusion-graph advisories
    for lock in "${locks[@]}"; do
        cargo audit --file "$lock" --no-fetch --db "$(echo "$databases"/advisory-db-*)" --deny warnings
    done
    exit 0
fi

# What was withdrawn stands in the index of crates.io; that check wants a database all the same, and gets an empty one.
mkdir -p target/no-advisories/crates
for lock in "${locks[@]}"; do
    cargo audit --quiet --file "$lock" --no-fetch --stale --db target/no-advisories --deny yanked
done
printf '%s\n' "audit: NOT CHECKED: known vulnerabilities. Their database can't be fetched from here:" \
    "$(grep --max-count=1 -i 'fatal' <<<"$why" || tail -n 1 <<<"$why")" \
    "audit: licences, bans, sources and withdrawn versions are fine."
[ "${1:-}" != --require-advisories ]
