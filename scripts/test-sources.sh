#!/usr/bin/env bash
# Runs Spark against the real servers of its sources, on loopback, without an LLM, and prints what passed.
#
#   scripts/test-sources.sh [agentos] [agents] [langflow]       default: all three
#
# Needs PyPI. AgentOS takes 50 MB and some ten seconds; Automagik Agents 430 MB and Python 3.12 (passed over without it);
# LangFlow 1.5 GB and some minutes. Everything is kept in target/sources/ for the next time; remove a directory there to
# get newer packages. AGNO_VERSIONS="2.0.8 newest" says which versions of agno, LANGFLOW_VERSION which LangFlow.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD/target/sources
mkdir -p "$root"
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(agentos agents langflow)
servers=()

has_python_312() { [ "$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = 3.12 ]; }

# The interpreter, or nothing.
python_312() {
    local candidate
    for candidate in "${PYTHON_312:-}" python3.12 "$HOME"/.pyenv/versions/3.12.*/bin/python; do
        if [ -n "$candidate" ] && has_python_312 "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
}

for part in "${parts[@]}"; do
    case $part in
        agentos)
            for version in ${AGNO_VERSIONS:-2.0.8 newest}; do
                requirement="agno[os]==$version"
                [ "$version" = newest ] && requirement="agno[os]"
                scripts/python-env.sh "$root/agno-$version" "$requirement"
                servers+=(--agentos "$root/agno-$version")
            done
            ;;
        agents)
            python=$(python_312)
            if [ -z "$python" ]; then
                echo "Automagik Agents is passed over: there is no Python 3.12; PYTHON_312 may name one" >&2
                continue
            fi
            # What it asks for has no upper bounds, and does not fit it any more.
            PYTHON=$python EXCLUDE_NEWER=2025-08-25 scripts/python-env.sh "$root/agents" automagik==0.6.19
            servers+=(--agents "$root/agents")
            ;;
        langflow)
            servers+=(--langflow "$root/langflow")
            ;;
        *)
            echo "$part is none of agentos, agents, langflow" >&2
            exit 2
            ;;
    esac
done

[ ${#servers[@]} -gt 0 ] || { echo "there is nothing to try" >&2; exit 1; }
PYTHONDONTWRITEBYTECODE=1 exec python3 scripts/sources/trial.py --spark target/debug/automagik-spark "${servers[@]}"
