"""What is tried with each source: every method of `Checks` is a line of the table."""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor


class Asking:
    """What the checks are made of."""

    def __init__(self, spark, source):
        self.spark, self.source = spark, source
        self.workflows = {}

    def json_cli(self, *arguments):
        code, stdout, stderr = self.spark.cli(*arguments)
        assert code == 0, f"{arguments[:3]} ended with {code}: {stderr}"
        return json.loads(stdout)

    def workflow(self, flow_id):
        if flow_id not in self.workflows:
            self.workflows[flow_id] = self.json_cli("workflows", "sync", flow_id, "--source", self.source.name)["id"]
        return self.workflows[flow_id]

    def run(self, flow_id, text, **options):
        body = {"input_data": text, "max_retries": 0, **options}
        status, task = self.spark.rest("POST", f"workflows/{self.workflow(flow_id)}/run?wait=300", body)
        assert status == 200, task
        return task

    def completed(self, flow_id, text, **options):
        task = self.run(flow_id, text, **options)
        assert task["status"] == "completed", f"{task['status']}: {task['error']}"
        return task

    def attempts(self, task):
        return self.spark.rest("GET", f"tasks/{task['id']}/attempts")[1]["items"]


class Checks(Asking):
    """In their order. One that does not concern a source returns False."""

    def a_wrong_key_is_refused(self):
        for key in ("a-wrong-key", None):
            arguments = ["sources", "add", "-t", self.source.kind, "-u", self.source.url, "-n", self.source.name]
            code, _, stderr = self.spark.cli(*arguments, *(["-k", key] if key else []))
            assert code == 1 and "Failed to validate source: the source refuses the api_key" in stderr, stderr
            assert "a-wrong-key" not in stderr, "the key is shown"
        sources = self.spark.rest("GET", "sources")[1]["items"]
        assert all(source["name"] != self.source.name for source in sources), "it is stored all the same"

    def another_kind_is_refused(self):
        for kind in {"langflow", "automagik-hive", "automagik-agents"} - {self.source.kind}:
            body = {"source_type": kind, "url": self.source.url, "api_key": self.source.key}
            status, answer = self.spark.rest("POST", "sources", body)
            assert status == 400 and answer["detail"].startswith("Failed to validate source: "), answer

    def the_source_is_added(self):
        arguments = ["-t", self.source.kind, "-u", self.source.url, "-n", self.source.name, "-k", self.source.key]
        source = self.json_cli("sources", "add", *arguments)
        assert source["status"] == "active" and source["version_info"]["version"], source
        assert self.source.key not in json.dumps(source), "the key is shown"

    def its_flows_are_listed(self):
        listed = {flow["id"] for flow in self.json_cli("workflows", "sync", "--source", self.source.name)}
        wanted = {*self.source.flows, *self.source.twins}
        assert wanted <= listed, f"{wanted - listed} are missing in {listed}"

    def flows_are_synced_again_in_place(self):
        for flow_id in self.source.flows:
            again = self.json_cli("workflows", "sync", flow_id, "--source", self.source.name)
            assert again["id"] == self.workflow(flow_id) and again["remote_flow_id"] == flow_id, again
            assert again["input_component"] and again["output_component"], again

    def an_unknown_flow_is_not_found(self):
        code, _, stderr = self.spark.cli("workflows", "sync", self.source.unknown, "--source", self.source.name)
        assert code == 1 and self.source.unknown in stderr, stderr

    def each_flow_runs(self):
        for flow_id, expected in self.source.flows.items():
            task = self.completed(flow_id, "hello")
            text = task["result"]
            assert (text if isinstance(expected, str) else json.loads(text)) == expected, text
            output = task["output_data"]
            if self.source.kind != "langflow":
                assert output["result"] == expected and output["status"] == "COMPLETED", output
                assert {"session_id", "run_id", "success"} <= output.keys(), output

    def text_arrives_unchanged(self):
        text = "hällo \"spark\" & 1+1=2 %41\n\u00fc?#" + "x" * 5000
        assert self.completed(self.source.main, text)["result"] == text.upper()

    def an_object_arrives_as_json(self):
        given = {"question": "who & what?", "numbers": [1, 2.5, None]}
        assert json.loads(self.completed(self.source.main, given)["result"].replace("NULL", "null")) == {
            "QUESTION": "WHO & WHAT?", "NUMBERS": [1, 2.5, None]
        }

    def each_task_has_its_session(self):
        if not self.source.has_own_session:
            return False
        task = self.completed(self.source.main, "hello")
        assert task["output_data"]["session_id"] == task["id"], task["output_data"]["session_id"]
        session = f"talk-{uuid.uuid4()}"
        task = self.completed(self.source.main, "hello", session_id=session)
        assert task["output_data"]["session_id"] == session

    def ids_without_a_kind_are_looked_up(self):
        if not self.source.plain:
            return False
        for flow_id, expected in self.source.plain.items():
            assert self.completed(flow_id, "hello")["result"] == expected

    def kinds_with_one_id_are_told_apart(self):
        if not self.source.twins:
            return False
        for flow_id, field in self.source.twins.items():
            output = self.completed(flow_id, "hello")["output_data"]
            assert output[field] == flow_id.split(":")[1], output

    def a_failing_flow_is_retried_and_fails(self):
        task = self.run(self.source.main, "fail:boom", max_retries=self.source.fail_retries)
        assert task["status"] == "failed" and task["tries"] == self.source.fail_retries + 1, task
        assert self.source.failure in task["error"], task["error"]
        assert not any(attempt["outcome_unknown"] for attempt in self.attempts(task))

    def a_failing_step_fails_its_workflow(self):
        flow_id = "workflow:echo-flow"
        if flow_id not in self.source.flows:
            return False
        task = self.run(flow_id, "fail:boom")
        assert task["status"] == "failed" and "boom" in task["error"], task

    def a_slow_flow_is_timed_out(self):
        started = time.monotonic()
        task = self.run(self.source.main, "sleep:20", timeout=2)
        attempt = self.attempts(task)[0]
        assert task["status"] == "failed" and attempt["status"] == "timed_out", (task["status"], attempt)
        assert attempt["outcome_unknown"] and time.monotonic() - started < 15

    def twenty_run_at_once(self):
        workflow = self.workflow(self.source.main)
        body = [{"input_data": f"number {number}", "max_retries": 0} for number in range(20)]
        with ThreadPoolExecutor(20) as pool:
            tasks = list(pool.map(lambda one: self.spark.rest("POST", f"workflows/{workflow}/run?wait=300", one)[1], body))
        ended = [(task["status"], task["result"]) for task in tasks]
        assert ended == [("completed", f"NUMBER {number}") for number in range(20)], ended
        sessions = {task["output_data"]["session_id"] for task in tasks}
        assert len(sessions) == 20, f"{len(sessions)} sessions"

    def an_agent_is_run_from_the_command_line(self):
        if not self.source.agent:
            return False
        task = self.json_cli("sources", "run-agent", self.source.name, self.source.agent, "--input", "hello")
        assert task["status"] == "completed" and task["result"] == "HELLO", task


#: Their names.
NAMES = [name for name in vars(Checks) if not name.startswith("_")]
