#!/usr/bin/env bash
# Starts a real LangFlow on loopback with a key and three flows, for trying the adapter against the real thing.
#
#   scripts/real-langflow.sh [DIRECTORY]        default /tmp/lf; needs python3 (3.10 to 3.13) and PyPI, about 1.5 GB
#
# Leaves the server running and writes DIRECTORY/running.env; `kill $LANGFLOW_PID` ends it.
# The first flow upper-cases what it is sent; `fail:TEXT` makes it raise, `sleep:SECONDS` makes it slow.
set -euo pipefail

root=${1:-/tmp/lf}
venv=${LANGFLOW_VENV:-$root/venv}
mkdir -p "$root/config"

"$(dirname "$0")/python-env.sh" "$venv" "langflow-base==${LANGFLOW_VERSION:-1.13.0}"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port
DO_NOT_TRACK=true LANGFLOW_AUTO_LOGIN=true LANGFLOW_CONFIG_DIR=$root/config \
    LANGFLOW_DATABASE_URL=sqlite:///$root/lf.db \
    setsid "$venv/bin/langflow" run --backend-only --host 127.0.0.1 --port "$port" >"$root/server.log" 2>&1 </dev/null &
pid=$!

for _ in $(seq 240); do
    curl --silent --fail --max-time 2 "$url/health" >/dev/null 2>&1 && break
    kill -0 "$pid" 2>/dev/null || { echo "LangFlow ended while starting: see $root/server.log" >&2; exit 1; }
    sleep 1
done

key=$(python3 - "$url" <<'PY'
import json, sys, urllib.request

def call(path, body=None, token=None):
    request = urllib.request.Request(sys.argv[1] + path, data=json.dumps(body).encode() if body else None)
    request.add_header("content-type", "application/json")
    if token:
        request.add_header("authorization", "Bearer " + token)
    return json.load(urllib.request.urlopen(request, timeout=60))

token = call("/api/v1/auto_login")["access_token"]
print(call("/api/v1/api_key/", {"name": "spark"}, token)["api_key"])
PY
)

flow=$(python3 - "$url" "$key" <<'PY'
import json, sys, urllib.request

URL, KEY = sys.argv[1:]

def call(path, body=None):
    request = urllib.request.Request(URL + path, data=json.dumps(body).encode() if body else None)
    request.add_header("content-type", "application/json")
    request.add_header("x-api-key", KEY)
    return json.load(urllib.request.urlopen(request, timeout=120))

PROBE = '''
import time
from lfx.custom.custom_component.component import Component
from lfx.io import MessageTextInput, Output
from lfx.schema.message import Message


class Probe(Component):
    display_name = "Probe"
    name = "Probe"
    inputs = [MessageTextInput(name="input_value", display_name="Input")]
    outputs = [Output(display_name="Output", name="output", method="answer")]

    def answer(self) -> Message:
        text = str(self.input_value)
        if text.startswith("fail:"):
            raise ValueError(text[5:])
        if text.startswith("sleep:"):
            time.sleep(float(text[6:]))
        return Message(text=text.upper())
'''

shipped = call("/api/v1/all")
probe = call("/api/v1/custom_component", {"code": PROBE})
kinds = {"Probe": probe["data"]}
for group in shipped.values():
    for name in ("ChatInput", "ChatOutput", "TextInput", "TextOutput"):
        if isinstance(group.get(name), dict) and "template" in group[name]:
            kinds[name] = group[name]

def node(kind, suffix):
    name = f"{kind}-{suffix}"
    data = {"id": name, "type": kind, "node": kinds[kind], "showNode": True}
    return {"id": name, "type": "genericNode", "position": {"x": 0, "y": 0}, "data": data}

def edge(source, output, target):
    def handle(value):
        return json.dumps(value).replace('"', "œ")
    out = {"dataType": source["data"]["type"], "id": source["id"], "name": output, "output_types": ["Message"]}
    into = {"fieldName": "input_value", "id": target["id"], "inputTypes": ["Message"], "type": "str"}
    return {
        "id": f"{source['id']}->{target['id']}", "source": source["id"], "target": target["id"],
        "sourceHandle": handle(out), "targetHandle": handle(into), "data": {"sourceHandle": out, "targetHandle": into},
    }

def flow(name, description, first, first_output, last):
    nodes = [node(first, "aaaaa"), node("Probe", "ppppp")] + ([node(last, "bbbbb")] if last else [])
    edges = [edge(nodes[0], first_output, nodes[1])] + ([edge(nodes[1], "output", nodes[2])] if last else [])
    data = {"nodes": nodes, "edges": edges, "viewport": {"x": 0, "y": 0, "zoom": 1}}
    return call("/api/v1/flows/", {"name": name, "description": description, "data": data})["id"]

print(flow("Spark probe", "Upper-cases what it is sent", "ChatInput", "message", "ChatOutput"))
print(flow("Spark text probe", "The same without chat", "TextInput", "text", "TextOutput"))
print(flow("Spark silent probe", "Without an output component", "ChatInput", "message", None))
PY
)

{
    echo "LANGFLOW_URL=$url"
    echo "LANGFLOW_KEY=$key"
    echo "LANGFLOW_FLOW_ID=$(sed -n 1p <<<"$flow")"
    echo "LANGFLOW_TEXT_FLOW_ID=$(sed -n 2p <<<"$flow")"
    echo "LANGFLOW_SILENT_FLOW_ID=$(sed -n 3p <<<"$flow")"
    echo "LANGFLOW_PID=$pid"
} >"$root/running.env"
chmod 600 "$root/running.env"

echo "url      $url"
echo "api key  $key"
echo "flow id  $(sed -n 1p <<<"$flow")"
echo "process  $pid (kill it when done)"
