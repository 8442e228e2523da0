"""Runs Spark against real servers and prints a table of what passed; exit code 1 if anything did not."""

import argparse
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from checks import NAMES, Checks
from servers import Servers, Spark, start_agentos, start_agents, start_langflow


def try_source(spark, source):
    """What came of each check: `ok`, `-`, or why it failed."""
    checks, results = Checks(spark, source), {}
    for name in NAMES:
        started = time.monotonic()
        try:
            results[name] = "-" if getattr(checks, name)() is False else "ok"
        except Exception as error:  # a check that breaks is a check that failed
            if not isinstance(error, AssertionError):
                traceback.print_exc()
            results[name] = f"FAILED: {error}"
        print(f"  {source.name}: {name.replace('_', ' ')}: {results[name]} ({time.monotonic() - started:.1f} s)", flush=True)
    return results


def table(results):
    names = list(results)
    width = max(len(check) for check in NAMES)
    print("\n" + " " * width + "  " + "  ".join(names))
    for check in NAMES:
        cells = (results[name][check].split(":")[0].ljust(len(name)) for name in names)
        print(check.replace("_", " ").ljust(width) + "  " + "  ".join(cells))
    failed = [(name, check, why) for name, row in results.items() for check, why in row.items() if why.startswith("FAILED")]
    for name, check, why in failed:
        print(f"\n{name}: {check.replace('_', ' ')}\n  {why}")
    count = sum(value == "ok" for row in results.values() for value in row.values())
    print(f"\n{count} passed, {len(failed)} failed")
    return not failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--spark", required=True, help="the built binary")
    for name in ("agentos", "agents", "langflow"):
        parser.add_argument(f"--{name}", action="append", default=[], help="an environment with it")
    arguments = parser.parse_args()
    # So that what was started is ended then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="spark-sources-") as directory:
        # The private PostgreSQL may run under an account of its own.
        Path(directory).chmod(0o755)
        servers = Servers(directory)
        try:
            sources = [start_agentos(servers, venv) for venv in arguments.agentos]
            sources += [start_agents(servers, venv) for venv in arguments.agents]
            sources += [start_langflow(servers, venv) for venv in arguments.langflow]
            spark = Spark(servers, arguments.spark)
            is_good = table({source.name: try_source(spark, source) for source in sources})
        finally:
            servers.stop()
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
