#!/usr/bin/env bash
# Makes a Python environment with packages from PyPI below target/, once, and prints its directory.
#
#   scripts/venv.sh NAME PACKAGE...        needs python3 with venv, and PyPI
set -euo pipefail
cd "$(dirname "$0")/.."

name=$1
shift
venv=$PWD/target/venv/$name
wanted=$*

if [ "$(cat "$venv/packages" 2>/dev/null)" != "$wanted" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv" >&2 || { echo "venv: python3 has no venv module: apt-get install python3-venv" >&2; exit 1; }
    # uv resolves in seconds what takes pip minutes.
    "$venv/bin/pip" --quiet --disable-pip-version-check --no-input install uv >&2
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" "$@" >&2
    printf '%s' "$wanted" >"$venv/packages"
fi
printf '%s\n' "$venv"
