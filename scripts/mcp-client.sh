#!/usr/bin/env bash
# An MCP client drives the running service by the MCP server of automagik-tools (PyPI): list, sync, run, schedule,
# update, pause, delete.
#
#   scripts/with-service.sh scripts/mcp-client.sh
set -euo pipefail
cd "$(dirname "$0")"

venv=$(cd .. && pwd)/target/python/mcp
./python-env.sh "$venv" "automagik-tools==${AUTOMAGIK_TOOLS_VERSION:-0.9.19}"
exec "$venv/bin/python" mcp-client.py
