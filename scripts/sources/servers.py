"""Starts and ends the servers of a trial: sources as they are installed, and Spark itself."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Secrets and settings of whoever runs this have no place in a trial, and loopback needs no proxy.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("AUTOMAGIK", "SPARK__", "CELERY_", "LANGFLOW_", "OPENAI_", "OS_SECURITY"))
}
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def request(url, method="GET", headers=None, body=None, timeout=60):
    """Status and JSON of an answer, whatever the status."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", **(headers or {})}
    asked = urllib.request.Request(url, method=method, headers=headers, data=data)
    try:
        with OPENER.open(asked, timeout=timeout) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@dataclass
class Source:
    """A source to try, and what its flows are expected to do."""

    name: str
    kind: str
    url: str
    key: str
    #: flow id -> what it makes of "hello"
    flows: dict
    #: a flow that upper-cases, fails and sleeps as it is told
    main: str
    unknown: str
    #: what an error of `fail:boom` must contain
    failure: str = "boom"
    fail_retries: int = 1
    has_own_session: bool = True
    #: flows by a plain id, as the Python service synced them
    plain: dict = field(default_factory=dict)
    #: two kinds with one id: flow id -> the field of its answer that names it
    twins: dict = field(default_factory=dict)
    agent: str = ""


class Servers:
    """Processes that end with the trial, by their own ids."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.running = []

    def start(self, name, command, environment=None, cwd=None):
        log = open(self.directory / f"{name}.log", "wb")
        process = subprocess.Popen(
            [str(part) for part in command], cwd=cwd or self.directory, env={**ENVIRONMENT, **(environment or {})},
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )
        self.running.append(process.pid)
        return process

    def until_healthy(self, name, process, url, limit_s=120):
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            if process.poll() is not None:
                break
            try:
                if request(url, timeout=2)[0] == 200:
                    return
            except (OSError, ValueError):
                pass
            time.sleep(0.2)
        log = self.directory / f"{name}.log"
        sys.exit(f"{name} does not answer; its last words, from {log}:\n" + "\n".join(log.read_text().splitlines()[-15:]))

    def stop(self):
        """Spark, started last, ends as it would; a source may still run a flow that nobody waits for."""
        if self.running:
            send(self.running[-1], signal.SIGTERM)
            end = time.monotonic() + 30
            while is_alive(self.running[-1]) and time.monotonic() < end:
                time.sleep(0.1)
        for pid in self.running:
            send(pid, signal.SIGKILL)


def send(pid, what):
    try:
        os.killpg(pid, what)
    except ProcessLookupError:
        pass


def is_alive(pid):
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def version_of(venv, package):
    asked = [f"{venv}/bin/python", "-c", f"import importlib.metadata as m; print(m.version('{package}'))"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def start_agentos(servers, venv):
    version, port, key = version_of(venv, "agno"), free_port(), "the-key-of-the-os"
    name = f"AgentOS {version}"
    command = [f"{venv}/bin/python", HERE / "agentos.py", port]
    process = servers.start(name, command, {"OS_SECURITY_KEY": key, "AGNO_TELEMETRY": "false"})
    url = f"http://127.0.0.1:{port}"
    servers.until_healthy(name, process, f"{url}/health")
    return Source(
        name, "automagik-hive", url, key,
        flows={
            "agent:echo-agent": "HELLO", "team:echo-team": "HELLO", "workflow:echo-flow": "HELLO!",
            "workflow:json-flow": {"echo": "HELLO", "n": 1},
        },
        main="agent:echo-agent", unknown="agent:no-such-agent",
        plain={"echo-team": "HELLO", "echo-flow": "HELLO!"},
        twins={"agent:twin": "agent_id", "team:twin": "team_id"},
        agent="echo-agent",
    )


def start_agents(servers, venv):
    version, port, llm_port, key = version_of(venv, "automagik"), free_port(), free_port(), "the-key-of-the-agents"
    name, home = f"Agents {version}", servers.directory / "agents"
    home.mkdir()
    llm = servers.start("LLM", [sys.executable, HERE / "llm.py", llm_port])
    command = [f"{venv}/bin/python", "-m", "uvicorn", "automagik.main:app", "--host", "127.0.0.1", "--port", port]
    environment = {
        "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"http://127.0.0.1:{llm_port}/v1", "AUTOMAGIK_API_KEY": key,
        "AUTOMAGIK_API_PORT": str(port), "AUTOMAGIK_API_HOST": "127.0.0.1", "AUTOMAGIK_TELEMETRY_ENABLED": "false",
        "AUTOMAGIK_SQLITE_DATABASE_PATH": str(home / "agents.db"),
    }
    process = servers.start(name, command, environment, cwd=home)
    url = f"http://127.0.0.1:{port}"
    servers.until_healthy(name, process, f"{url}/health")
    assert llm.poll() is None, "the stand-in for the LLM ended"
    return Source(
        name, "automagik-agents", url, key, flows={"simple": "HELLO"}, main="simple", unknown="no-such-agent",
        # The server keeps the reason to itself.
        failure="the flow failed: ", has_own_session=False, agent="simple",
    )


def start_langflow(servers, directory):
    started = subprocess.run([HERE.parent / "real-langflow.sh", directory], env={**ENVIRONMENT, **langflow_settings()})
    if started.returncode:
        sys.exit("LangFlow could not be started")
    told = dict(line.split("=", 1) for line in (Path(directory) / "running.env").read_text().split())
    servers.running.append(int(told["LANGFLOW_PID"]))
    url = told["LANGFLOW_URL"]
    version = request(f"{url}/api/v1/version")[1]["version"]
    return Source(
        f"LangFlow {version}", "langflow", url, told["LANGFLOW_KEY"],
        flows={told["LANGFLOW_FLOW_ID"]: "HELLO", told["LANGFLOW_TEXT_FLOW_ID"]: "HELLO"},
        main=told["LANGFLOW_FLOW_ID"], unknown="00000000-0000-4000-8000-000000000000",
        # A failing run takes some ten seconds.
        fail_retries=0,
    )


def langflow_settings():
    return {name: os.environ[name] for name in ("LANGFLOW_VERSION", "LANGFLOW_VENV") if name in os.environ}


class Spark:
    """The service under trial, by REST and by its command line."""

    def __init__(self, servers, binary):
        self.binary = Path(binary).resolve()
        self.directory = servers.directory
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        process = servers.start("spark", [self.binary, "dev", "--port", port])
        servers.until_healthy("spark", process, f"{self.url}/health/ready")
        self.key = (self.directory / ".spark" / "api.key").read_text().strip()

    def rest(self, method, path, body=None):
        return request(f"{self.url}/api/v1/{path}", method, {"x-api-key": self.key}, body, timeout=330)

    def cli(self, *arguments):
        """Exit code, stdout and stderr of a command."""
        environment = {**ENVIRONMENT, "AUTOMAGIK_SPARK_REMOTE_URL": self.url, "AUTOMAGIK_SPARK_API_KEY": self.key}
        command = [self.binary, "-o", "json", *arguments]
        ended = subprocess.run(command, cwd=self.directory, env=environment, capture_output=True, text=True, timeout=300)
        return ended.returncode, ended.stdout, ended.stderr
