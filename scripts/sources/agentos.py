"""A real AgentOS on loopback without an LLM: an agent, a team and workflows over a stand-in model.

    OS_SECURITY_KEY=key python agentos.py PORT

Steered by the input: `fail:TEXT` raises TEXT, `sleep:SECONDS` sleeps, anything else is upper-cased. Runs with agno 2 and 3.
"""

import asyncio
import os
import sys
from dataclasses import dataclass
from inspect import signature

os.environ["AGNO_TELEMETRY"] = "false"

import uvicorn
from agno.agent import Agent
from agno.models.base import Model
from agno.models.response import ModelResponse
from agno.os import AgentOS
from agno.team import Team
from agno.workflow import Step, Workflow
from agno.workflow.types import StepInput, StepOutput


async def answer(text: str) -> str:
    if text.startswith("fail:"):
        raise ValueError(text[5:])
    if text.startswith("sleep:"):
        # Awaits, so that it holds up nobody else: a step that blocks would stop the whole server.
        await asyncio.sleep(float(text[6:]))
    return text.upper()


@dataclass
class StandIn(Model):
    """Answers as an LLM would, from the last message of the user."""

    id: str = "stand-in"
    name: str = "StandIn"
    provider: str = "Spark"

    async def reply(self, messages) -> ModelResponse:
        asked = [message for message in messages if message.role == "user"]
        text = await answer(asked[-1].get_content_string() if asked else "")
        return ModelResponse(role="assistant", content=text)

    async def ainvoke(self, messages, *args, **kwargs) -> ModelResponse:
        return await self.reply(messages)

    async def ainvoke_stream(self, messages, *args, **kwargs):
        yield await self.reply(messages)

    def invoke(self, messages, *args, **kwargs) -> ModelResponse:
        return asyncio.run(self.reply(messages))

    def invoke_stream(self, messages, *args, **kwargs):
        yield self.invoke(messages)

    def _parse_provider_response(self, response, **kwargs) -> ModelResponse:
        return response

    def _parse_provider_response_delta(self, response) -> ModelResponse:
        return response


async def upper(step: StepInput) -> StepOutput:
    return StepOutput(content=await answer(str(step.input)))


async def exclaim(step: StepInput) -> StepOutput:
    return StepOutput(content=f"{step.previous_step_content}!")


async def structure(step: StepInput) -> StepOutput:
    return StepOutput(content={"echo": str(step.input).upper(), "n": 1})


echo = Agent(id="echo-agent", name="Echo Agent", description="Upper-cases what it is told", model=StandIn(), telemetry=False)
# An id may be an agent's and a team's at once.
twin = Agent(id="twin", name="Twin Agent", model=StandIn(), telemetry=False)

agent_os = AgentOS(
    **{"id" if "id" in signature(AgentOS).parameters else "os_id": "spark-test-os"},
    name="Spark test OS",
    description="AgentOS for the tests of Spark",
    telemetry=False,
    agents=[echo, twin],
    teams=[
        Team(id="echo-team", name="Echo Team", members=[echo], model=StandIn(), telemetry=False),
        Team(id="twin", name="Twin Team", members=[echo], model=StandIn(), telemetry=False),
    ],
    workflows=[
        Workflow(
            id="echo-flow",
            name="Echo Workflow",
            description="Upper-cases, then exclaims",
            steps=[Step(name="upper", executor=upper), Step(name="exclaim", executor=exclaim)],
        ),
        Workflow(id="json-flow", name="JSON Workflow", steps=[Step(name="structure", executor=structure)]),
    ],
)

if __name__ == "__main__":
    uvicorn.run(agent_os.get_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
