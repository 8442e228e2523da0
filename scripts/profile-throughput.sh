#!/usr/bin/env bash
# What each profile does with flows of six seconds, beside what the scaling guide expects; the table of docs/PERFORMANCE.md.
set -euo pipefail
cd "$(dirname "$0")/.."
echo '| profile | workers x threads | measured | tasks a minute | guide | of what its slots can do | service | children |'
echo '| --- | --- | --- | --- | --- | --- | --- | --- |'
for profile in "${@:-small}"; do
    SPARK_PROFILE=$profile FLOW_LATENCY=${FLOW_LATENCY:-6s} scripts/with-service.sh python3 scripts/profile-throughput.py
done
