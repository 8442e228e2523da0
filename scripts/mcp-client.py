"""Drives a running Spark by the MCP server of automagik-tools, over MCP, as an agent would.

Run by scripts/mcp-client.sh, which says what the environment must hold.
"""

import asyncio
import json
import os
import sys

from fastmcp import Client
from fastmcp.client.transports import StdioTransport

URL = os.environ["AUTOMAGIK_SPARK_REMOTE_URL"]
KEY = os.environ["AUTOMAGIK_SPARK_API_KEY"]
SOURCE_URL = os.environ["SOURCE_URL"]
SOURCE_KEY = os.environ["SOURCE_KEY"]
FLOW_ID = os.environ["FLOW_ID"]


def items(answer):
    """The items of a page, or of a plain list."""
    return answer["items"] if isinstance(answer, dict) else answer


async def drive(client):
    async def call(tool, **arguments):
        result = await client.call_tool(tool, arguments)
        print(f"ok  {tool}")
        return json.loads(result.content[0].text)

    tools = {tool.name for tool in await client.list_tools()}
    assert (await call("get_health"))["status"] == "healthy"

    # The service has the source already: an agent starts from nothing.
    for source in items(await call("list_sources")):
        await call("delete_source", source_id=source["id"])
    source = await call("add_source", name="flow", source_type="langflow", url=SOURCE_URL, api_key=SOURCE_KEY)
    assert source["id"] in [found["id"] for found in items(await call("list_sources"))]
    assert (await call("get_source", source_id=source["id"]))["url"] == SOURCE_URL
    assert (await call("update_source", source_id=source["id"], name="renamed"))["name"] == "renamed"

    assert FLOW_ID in [flow["id"] for flow in items(await call("list_remote_workflows", source_url=SOURCE_URL))]
    assert (await call("get_remote_workflow", workflow_id=FLOW_ID, source_url=SOURCE_URL))["id"] == FLOW_ID
    # With the components that the tool sends when the agent names none.
    workflow = (await call("sync_workflow", workflow_id=FLOW_ID, source_url=SOURCE_URL))["id"]
    assert workflow in [found["id"] for found in items(await call("list_workflows"))]
    assert (await call("get_workflow", workflow_id=workflow))["remote_flow_id"] == FLOW_ID

    task = await call("run_workflow", workflow_id=workflow, input_text="good morning")
    assert task["status"] == "pending", task
    deadline = asyncio.get_running_loop().time() + 30
    while task["status"] in ("pending", "running", "retrying"):
        assert asyncio.get_running_loop().time() < deadline, task
        await asyncio.sleep(0.1)
        task = await call("get_task", task_id=task["id"])
    assert (task["status"], task["result"]) == ("completed", "GOOD MORNING"), task
    page = await call("list_tasks", workflow_id=workflow, status="completed", limit=10, offset=0)
    assert page["total"] == 1 and page["items"][0]["id"] == task["id"], page

    schedule = await call(
        "create_schedule", workflow_id=workflow, schedule_type="interval", schedule_expr="1h", input_value="tick"
    )
    assert schedule["id"] in [found["id"] for found in items(await call("list_schedules", workflow_id=workflow))]
    schedule = await call(
        "update_schedule",
        schedule_id=schedule["id"],
        workflow_id=workflow,
        schedule_type="cron",
        schedule_expr="*/5 * * * *",
        input_value="tock",
    )
    assert schedule["schedule_expr"] == "*/5 * * * *", schedule
    for tool, status in [("disable_schedule", "paused"), ("enable_schedule", "active")]:
        await call(tool, schedule_id=schedule["id"])
        found = await call("get_schedule", schedule_id=schedule["id"])
        assert found["status"] == status, found
    await call("delete_schedule", schedule_id=schedule["id"])
    await call("delete_task", task_id=task["id"])
    await call("delete_workflow", workflow_id=workflow)
    await call("delete_source", source_id=source["id"])
    assert not items(await call("list_sources"))
    return tools


async def main():
    environment = {**os.environ, "SPARK_API_KEY": KEY, "SPARK_BASE_URL": URL, "FASTMCP_SHOW_SERVER_BANNER": "false"}
    server = StdioTransport(sys.executable, ["-m", "automagik_tools.tools.spark"], env=environment)
    async with Client(server) as client:
        tools = await drive(client)
    print(f"all of it went through; the server has {len(tools)} tools")


asyncio.run(main())
