"""From directives to runs of the CLI: what it is told, when it is ended, what is made of it."""

import asyncio
import json
import secrets
from collections.abc import Sequence
from typing import Any

from harness.agents.base import AgentContext, Assignment
from harness.agents.command.conversation import Conversation
from harness.agents.command.desk import Sitting, ToolDesk, told
from harness.agents.command.gateway import Gateway
from harness.agents.command.presets import GIVEN, Preset, filled, takes_prompt
from harness.agents.command.relay import Ending, Order, Place, Running, program, running, wrapper
from harness.agents.command.service import Service, serving
from harness.agents.heartbeats.base import Intervention
from harness.agents.prompts import Kept, directive_prompt, summary_prompt
from harness.agents.prompts.templates import render
from harness.agents.text import clip
from harness.errors import (
    ConfigurationError,
    InfrastructureError,
    SubmissionRefusedError,
)

IDLE_RUNS = 3
"""So many runs of the command in a row that did nothing at all are a failure."""

_SLACK_S = 60.0
_SAVE_EVERY_S = 60.0
_LAST_WORDS_S = 0.2
"""For the answer to reach the CLI that it is ended for."""
_STOP_TIMEOUT_S = 15.0
_OUTPUT_CHARACTERS = 8000
_LISTED_OWN = 20
_NOT_FOUND = (126, 127)

_AGAIN = (
    "You were interrupted and go on with this directive from its beginning; the workspace is as "
    "you left it."
)


async def work(context: AgentContext, preset: Preset) -> None:
    """Directive after directive, until there is none."""
    desk = ToolDesk(context)
    gateway = Gateway(context, desk.exhausted)
    try:
        async with serving(desk, gateway) as service:
            await _Worker(context, preset, desk, gateway, service).work()
    finally:
        await desk.close()
        await gateway.close()


class _Worker:
    def __init__(
        self,
        context: AgentContext,
        preset: Preset,
        desk: ToolDesk,
        gateway: Gateway,
        service: Service,
    ) -> None:
        self._context = context
        self._preset = preset
        self._desk = desk
        self._gateway = gateway
        self._service = service
        self._conversation = Conversation.of(context)
        self._system = render(
            context.prompts,
            "command_system",
            agent=context.agent,
            task=context.task,
            workdir=context.sandbox.workdir,
            minutes=context.config.directive_timeout_s / 60,
            mcp=any("mcp" in word for word in (*preset.first, *preset.env.values())),
            tools=[{"name": tool.name, "description": tool.description} for tool in desk.tools()],
        )
        self._carried: list[str] = []
        self._idle = 0
        self._loaded = False

    async def work(self) -> None:
        context = self._context
        if not self._conversation.begun:
            self._log("system", "system", self._system, "system")
        interrupted = context.current
        if interrupted is not None:
            await self._directive(interrupted, again=True)
        while True:
            context.say("asking for a directive")
            assignment = await context.assignment()
            if assignment is None:
                return
            await self._directive(assignment, again=False)

    async def _directive(self, assignment: Assignment, *, again: bool) -> None:
        number = assignment.directive.number
        deadline = asyncio.get_running_loop().time() + self._context.config.directive_timeout_s
        prompt = self._opening(assignment, again=again)
        submitted = self._has_submitted(number)
        while True:
            sitting = self._desk.begin(number, secrets.token_hex(4))
            try:
                ending = await self._command(prompt, sitting, deadline)
            finally:
                await self._desk.end()
            submitted = submitted or sitting.submitted
            if isinstance(sitting.failure, InfrastructureError):
                raise sitting.failure
            if sitting.failure or sitting.closed or not sitting.carried:
                break
            prompt = self._messages(sitting.carried)
            if any(each.action == "pivot" for each in sitting.carried):
                self._carried.append(prompt)
                break
            if any(each.action == "restart" for each in sitting.carried):
                self._conversation.forget()
                prompt = f"{self._summary()}\n\n{prompt}\n\n{self._opening(assignment, again=True)}"
        changed = await self._submit_rest(number, submitted=submitted)
        if sitting.failure is not None:
            raise sitting.failure
        self._judge(ending, idle=not (changed or submitted or sitting.calls or sitting.carried))

    def _opening(self, assignment: Assignment, *, again: bool) -> str:
        """What the CLI is told of a directive."""
        parts = self._carried
        self._carried = []
        waiting = self._context.interventions()
        parts += [self._messages(waiting)] if waiting else []
        parts += [_AGAIN] if again else []
        prompt = directive_prompt(assignment, self._context, turns=False)
        return "\n\n".join([*parts, prompt])

    def _messages(self, interventions: Sequence[Intervention]) -> str:
        return "\n\n".join(told(self._context, each) for each in interventions)

    def _summary(self) -> str:
        own = [a.id for a in self._context.graph if a.agent == self._context.agent]
        return summary_prompt(self._context, Kept(), own[-_LISTED_OWN:], own=False)

    def _has_submitted(self, number: int) -> bool:
        """Whether there is an attempt of this directive, from before a restart."""
        agent = self._context.agent
        return any(a.agent == agent and a.directive == number for a in self._context.graph)

    async def _submit_rest(self, number: int, *, submitted: bool) -> bool:
        """Submit a changed workspace of which nothing was submitted; whether it was changed."""
        if submitted:
            return True
        context = self._context
        try:
            if not await context.changes():
                return False
            context.say("submitting what the command left")
            key = f"{context.agent}/command/{number}/rest"
            answer = await context.submit("what the command left, unsubmitted", key=key)
        except SubmissionRefusedError as error:
            self._log("user", "user", f"What the command left was refused: {error}", "notice")
            return True
        text = f"Submitted what the command left, as attempt {answer.attempt.id}."
        self._log("user", "user", text, "notice")
        return True

    def _judge(self, ending: Ending, *, idle: bool) -> None:
        """Tell a command that works from one that never will."""
        if ending.code in _NOT_FOUND and idle:
            name = self._preset.first[0]
            raise ConfigurationError(
                f"the command {name!r} does not run in the sandbox: {ending.output.strip()[-300:]}",
                expected="a program that is in the sandbox",
                action="put it into the image (sandbox.image, or the task's environment), or "
                "correct agent.command",
            )
        self._idle = self._idle + 1 if idle and not self._gateway.calls else 0
        if self._idle == IDLE_RUNS:
            raise InfrastructureError(
                f"the command ended {IDLE_RUNS} times without doing anything, the last time with "
                f"{ending.reason or f'exit code {ending.code}'}: {ending.output.strip()[-500:]}"
            )
        self._gateway.calls = 0

    # -- one run of the command --

    async def _command(self, prompt: str, sitting: Sitting, deadline: float) -> Ending:
        context, conversation = self._context, self._conversation
        loop = asyncio.get_running_loop()
        left_s = max(1.0, deadline - loop.time())
        limit_s = left_s + _SLACK_S
        async with running(context.sandbox, self._service.sockets, timeout_s=limit_s) as process:
            place = await process.place()
            if not self._loaded:
                await conversation.load(context.sandbox, place.home)
                self._loaded = True
            resumed = conversation.begun
            self._log("user", "user", prompt, "directive")
            if not resumed:
                prompt = f"{self._system}\n\n{prompt}"
            process.start(self._order(prompt, place, resumed=resumed))
            context.say(f"running {self._preset.first[0]}")
            ending = await self._until_ended(process, place, sitting, left_s)
        spoke = sitting.calls or self._gateway.calls or ending.code == 0
        if spoke and ending.code not in _NOT_FOUND:
            conversation.went_on()
        if not await conversation.save(context.sandbox, place.home):
            self._log("user", "user", "The command's conversation could not be saved.", "notice")
        said = ending.reason or f"exit code {ending.code}"
        text = f"{clip(ending.output.strip(), _OUTPUT_CHARACTERS)}\n[{said}]"
        self._log("tool", "tool", text, "", name="command")
        return ending

    async def _until_ended(
        self, process: Running, place: Place, sitting: Sitting, left_s: float
    ) -> Ending:
        ending = asyncio.create_task(process.ending())
        others = {
            asyncio.create_task(self._urgent(process, sitting)),
            asyncio.create_task(self._over(process, sitting)),
            asyncio.create_task(self._late(process, left_s)),
            asyncio.create_task(self._keep(place)),
        }
        try:
            while not ending.done():
                done, _ = await asyncio.wait({ending, *others}, return_when=asyncio.FIRST_COMPLETED)
                for task in done & others:
                    others.discard(task)
                    task.result()
                    if not ending.done():
                        await asyncio.wait({ending}, timeout=_STOP_TIMEOUT_S)
                        if not ending.done():
                            return Ending(None, "it did not end when asked to", "")
            return ending.result()
        finally:
            tasks = {ending, *others}
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _urgent(self, process: Running, sitting: Sitting) -> None:
        while True:
            await self._context.urgent()
            if waiting := self._context.interventions():
                sitting.carried += waiting
                process.stop("ended for an urgent message")
                return
            await asyncio.sleep(0)

    @staticmethod
    async def _over(process: Running, sitting: Sitting) -> None:
        await sitting.over.wait()
        await asyncio.sleep(_LAST_WORDS_S)
        why = "a message that ends it" if sitting.carried else "the directive is closed"
        process.stop(f"ended: {sitting.failure or why}")

    @staticmethod
    async def _late(process: Running, left_s: float) -> None:
        await asyncio.sleep(left_s)
        process.stop("ended: the directive's time is over")

    async def _keep(self, place: Place) -> None:
        """Save the conversation now and then: a kill loses no more than a minute of it."""
        while True:
            await asyncio.sleep(_SAVE_EVERY_S)
            await self._conversation.save(self._context.sandbox, place.home)

    def _order(self, prompt: str, place: Place, *, resumed: bool) -> Order:
        port = place.url.rpartition(":")[2]
        mcp_command = f"{place.folder}/bin/harness-mcp"
        values = {
            "prompt": prompt,
            "prompt_file": f"{place.folder}/prompt.md",
            "mcp_config": f"{place.folder}/mcp.json",
            "mcp_url": f"{place.url}/mcp",
            "mcp_command": mcp_command,
            "base_url": f"{place.url}/v1",
            "url": place.url,
            "token": self._service.token,
            "session": self._conversation.session,
            "model": self._context.model.name or "",
            "folder": place.folder,
            "workdir": self._context.sandbox.workdir,
        }
        settings = {
            "token": self._service.token,
            "http_port": int(port),
            "mcp_port": place.mcp_port,
        }
        server: dict[str, Any] = {"type": "stdio", "command": mcp_command, "args": []}
        servers = {"mcpServers": {"harness": server}}
        argv = self._preset.argv(resumed=resumed)
        env = {
            name: filled(value, values, quoted=value.startswith('{"'))
            for name, value in {**GIVEN, **self._preset.env}.items()
        }
        return Order(
            argv=[filled(word, values) for word in argv],
            env={**env, "HARNESS_RESUMED": "1" if resumed else "", "HOME": place.home},
            files={
                "bin/harness": (wrapper(place, "harness_command"), 0o700),
                "bin/harness-mcp": (wrapper(place, "harness_mcp"), 0o700),
                "lib/harness_command.py": (program("harness_command"), 0o600),
                "lib/harness_mcp.py": (program("harness_mcp"), 0o600),
                "settings.json": (json.dumps(settings), 0o600),
                "mcp.json": (json.dumps(servers), 0o600),
                "prompt.md": (prompt, 0o600),
            },
            stdin="" if takes_prompt(argv) else prompt,
        )

    def _log(self, kind: str, role: str, text: str, what: str, **more: Any) -> None:
        message = {"role": role, "content": text, "harness": what}
        self._context.log({"type": kind, "message": message, **more})
