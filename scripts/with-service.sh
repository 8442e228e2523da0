#!/usr/bin/env bash
# Runs a command beside a service on private servers and a simulated LangFlow, and ends them after it.
#
#   scripts/with-service.sh COMMAND...
#
# The command finds AUTOMAGIK_SPARK_REMOTE_URL, AUTOMAGIK_SPARK_API_KEY, SPARK (the program), SERVICE_PID, SOURCE_URL,
# SOURCE_KEY and FLOW_ID.
# The service has the source, the flow as a workflow, a task and a schedule. SPARK_PORT fixes its port, SPARK_PROFILE chooses
# its profile, FLOW_LATENCY says how long a run takes.
set -euo pipefail

SPARK=${SPARK:-$(cd "$(dirname "$0")/.." && pwd)/target/debug/automagik-spark}
[ -x "$SPARK" ] || { echo "with-service: $SPARK is not there: cargo build" >&2; exit 1; }
caller=$PWD
directory=$(mktemp -d)
# The account that runs the database must be able to enter it.
chmod 755 "$directory"
pids=()

finish() {
    local code=$?
    trap - EXIT
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    if [ "$code" -ne 0 ]; then
        echo "with-service: the end of the service's log:" >&2
        tail -n 40 "$directory/service.log" >&2 || true
    fi
    rm -rf "$directory"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

# What a program prints when it listens: the address on this machine.
address_in() {
    local log=$1 pid=$2
    for _ in $(seq 600); do
        grep --only-matching --max-count=1 'http://127\.0\.0\.1:[0-9]*' "$log" 2>/dev/null && return 0
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    cat "$log" >&2
    echo "with-service: it did not start" >&2
    return 1
}

export SPARK SOURCE_KEY=source-key FLOW_ID=51a7e000-0000-4000-8000-000000000001
cd "$directory"
"$SPARK" simulate --latency "${FLOW_LATENCY:-20ms}" --api-key "$SOURCE_KEY" >simulate.log 2>&1 </dev/null &
pids+=($!)
SOURCE_URL=$(address_in simulate.log $!)
"$SPARK" dev --profile "${SPARK_PROFILE:-small}" --port "${SPARK_PORT:-0}" >service.log 2>&1 </dev/null &
pids+=($!)
SERVICE_PID=$!
AUTOMAGIK_SPARK_REMOTE_URL=$(address_in service.log "$SERVICE_PID")
AUTOMAGIK_SPARK_API_KEY=$(cat .spark/api.key)
export SERVICE_PID SOURCE_URL AUTOMAGIK_SPARK_REMOTE_URL AUTOMAGIK_SPARK_API_KEY

{
    "$SPARK" sources add --name flow --type langflow --url "$SOURCE_URL" -o json --api-key "$SOURCE_KEY"
    "$SPARK" workflows sync "$FLOW_ID"
    "$SPARK" workflows run "$FLOW_ID" --input "good morning" --wait
    "$SPARK" schedules create --workflow "$FLOW_ID" --type interval --expr 1h
} >setup.log 2>&1 || { cat setup.log >&2; exit 1; }
cd "$caller"
"$@"
