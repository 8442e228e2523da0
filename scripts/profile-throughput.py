"""Measures what the profile of a running service does with flows of some seconds (scripts/with-service.sh starts one).

Fills every slot of the default queue for at least two minutes and prints a line of the table in docs/PERFORMANCE.md:
tasks a minute beside what the scaling guide expects of the profile, and the memory of the service and of its children.
Exits with 1 where the profile does less than the guide expects, or a task did not complete.
"""

import concurrent.futures
import datetime
import json
import math
import os
import sys
import time
import urllib.request

URL, KEY = os.environ["AUTOMAGIK_SPARK_REMOTE_URL"], os.environ["AUTOMAGIK_SPARK_API_KEY"]
PROFILE, FLOW = os.environ["SPARK_PROFILE"], os.environ["FLOW_ID"]
LATENCY_S = float(os.environ["FLOW_LATENCY"].removesuffix("s"))
EXPECTED = {"small": 50, "medium": 200, "large": 800, "enterprise": 1600}
# From `medium` on the guide's figure is all that the slots can do with flows of six seconds and no pause between two of them.
NEARLY = 0.97
SECONDS = 125


def ask(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
    request = urllib.request.Request(f"{URL}/api/v1/{path}", data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def service_kb():
    with open(f"/proc/{os.environ['SERVICE_PID']}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def main():
    pool = next(pool for pool in ask("GET", "pools")["items"] if pool["name"] == "celery")
    slots = pool["workers"] * pool["threads"]
    # Whole rounds: a last one that is not full would count against the profile.
    rounds = math.ceil(SECONDS / LATENCY_S)
    tasks = slots * rounds
    workflow = ask("GET", f"workflows/{FLOW}")["id"]
    begun = datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")

    def submit(_):
        return ask("POST", f"workflows/{workflow}/run", {"input_data": "profile"})["id"]

    with concurrent.futures.ThreadPoolExecutor(16) as clients:
        list(clients.map(submit, range(tasks)))
    service_peak = child_peak = children_peak = 0
    deadline = time.monotonic() + 3 * SECONDS
    while True:
        workers = ask("GET", "workers")["items"]
        memory = [worker["rss_kb"] or 0 for worker in workers]
        service_peak, child_peak = max(service_peak, service_kb()), max(child_peak, *memory)
        children_peak = max(children_peak, sum(memory))
        completed = ask("GET", f"tasks?status=completed&created_after={begun}&limit=1")["total"]
        if completed == tasks:
            break
        if time.monotonic() > deadline:
            sys.exit(f"{PROFILE}: only {completed} of {tasks} tasks completed in time")
        time.sleep(1)
    started, finished, offset = [], [], 0
    while offset < tasks:
        page = ask("GET", f"tasks?status=completed&created_after={begun}&limit=100&offset={offset}")["items"]
        started += [moment(task["started_at"]) for task in page]
        finished += [moment(task["finished_at"]) for task in page]
        offset += len(page)
    seconds = max(finished) - min(started)
    rate, most = tasks / seconds * 60, slots * 60 / LATENCY_S
    print(f"| {PROFILE} | {pool['workers']} x {pool['threads']} | {tasks} in {seconds:.0f} s | {rate:.0f} | {EXPECTED[PROFILE]} | "
          f"{rate / most:.1%} of {most:.0f} | {service_peak / 1024:.0f} MB | "
          f"{len(workers)}, {child_peak / 1024:.0f} MB the largest, {children_peak / 1024:.0f} MB together |")
    if rate < EXPECTED[PROFILE] * NEARLY:
        sys.exit(f"{PROFILE}: {rate:.0f} tasks a minute are less than the {EXPECTED[PROFILE]} that the guide expects")


main()
