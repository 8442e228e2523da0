#!/usr/bin/env bash
# Checks that the service's OpenAPI document is one; then sends the service what it allows and forbids, and fails at every
# answer that it does not describe, and at every 5xx but a refusal that says when to come again.
#
#   scripts/with-service.sh scripts/fuzz.sh [OPTIONS OF schemathesis run...]        e.g. --seed 7 --max-examples 500
set -euo pipefail
cd "$(dirname "$0")"

venv=$(cd .. && pwd)/target/python/fuzz
./python-env.sh "$venv" "schemathesis==${SCHEMATHESIS_VERSION:-4.32.5}" openapi-spec-validator==0.9.0
curl --silent --fail "$AUTOMAGIK_SPARK_REMOTE_URL/api/v1/openapi.json" >"$venv/openapi.json"
"$venv/bin/openapi-spec-validator" "$venv/openapi.json"
exec "$venv/bin/schemathesis" --config-file fuzz.toml run "$AUTOMAGIK_SPARK_REMOTE_URL/api/v1/openapi.json" \
    --header "X-API-Key: $AUTOMAGIK_SPARK_API_KEY" \
    --phases examples,coverage,fuzzing,stateful --max-examples 40 --continue-on-failure --request-timeout 60 \
    --generation-database none --no-color "$@"
