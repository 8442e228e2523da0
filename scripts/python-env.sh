#!/usr/bin/env bash
# Makes a Python environment with these packages, unless it is there already. Remove DIRECTORY to get newer ones.
#
#   scripts/python-env.sh DIRECTORY REQUIREMENT...
#
# PYTHON: the interpreter (python3). EXCLUDE_NEWER: a date; packages published later are passed over.
set -euo pipefail

directory=$1
shift
wanted="${PYTHON:-python3} ${EXCLUDE_NEWER:-} $*"
[ "$(cat "$directory/.complete" 2>/dev/null)" = "$wanted" ] && exit 0

# uv, since pip's resolver needs more than twenty minutes for LangFlow's 335 packages and uv seventeen seconds.
uv=$(command -v uv || true)
if [ -z "$uv" ]; then
    tools=$(dirname "$directory")/uv
    uv=$tools/bin/uv
    if ! [ -x "$uv" ]; then
        python3 -m venv "$tools"
        "$tools/bin/pip" install --quiet --no-input --disable-pip-version-check uv >&2
    fi
fi

"$uv" venv --quiet --clear --python "${PYTHON:-python3}" "$directory"
"$uv" pip install --quiet --python "$directory/bin/python" ${EXCLUDE_NEWER:+--exclude-newer "$EXCLUDE_NEWER"} "$@"
printf '%s' "$wanted" >"$directory/.complete"
