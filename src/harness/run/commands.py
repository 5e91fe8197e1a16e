"""What a live run does with the commands in its inbox."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

from harness.agents.heartbeats.base import Intervention
from harness.errors import ModelRefusedError, ModelUnavailableError, UserError
from harness.ids import AgentId
from harness.run.checks import check_prices
from harness.run.config import RunConfig, save_config, validate
from harness.run.core import Core
from harness.run.rules import heartbeat_rules, replaced
from harness.run.settings import changed
from harness.run.store import Answer, Command
from harness.run.team import Team

PAUSED = "paused"
"""Entry of the meta data that says why the run stands still."""


class Reconfigurable(Protocol):
    """Whoever keeps something that was derived from the configuration."""

    def configure(self, config: RunConfig) -> None:
        """Take the settings from a new configuration.

        Raises:
            ConfigurationError: It cannot be used; nothing is changed.
        """
        ...


class Commands:
    """Obeys one command at a time. A refusal is an answer too."""

    def __init__(self, core: Core, team: Team, *others: Reconfigurable) -> None:
        self._core = core
        self._team = team
        self._others = others

    async def obey(self, command: Command) -> Answer:
        """Do it, or say why not."""
        handlers = {
            "stop": self._stop,
            "pause": self._pause,
            "resume": self._resume,
            "tell": self._tell,
            "set": self._set,
            "heartbeat": self._heartbeat,
        }
        handler = handlers.get(command.command)
        if handler is None:
            return Answer(
                f"unknown command {command.command!r}",
                done=False,
                expected=f"one of {', '.join(handlers)}",
                action="use the same version of harness as the run",
            )
        try:
            return Answer(await handler(command.arguments))
        except UserError as error:
            return Answer(error.wrong, False, error.expected, error.action)
        except (ModelUnavailableError, ModelRefusedError) as error:
            action = "check the model's address, name and key"
            return Answer(str(error), False, "a model that answers", action)

    async def _stop(self, _: Mapping[str, Any]) -> str:
        self._core.ending.request("stopped")
        return "stopping"

    async def _pause(self, arguments: Mapping[str, Any]) -> str:
        core, agent = self._core, self._agent(arguments)
        self._refuse_when_ending()
        core.pauses.pause(agent, "by the user")
        if agent is not None:
            return f"{agent} pauses before its next step"
        core.budget.stand_still(True)
        core.store.set_meta(PAUSED, "by the user")
        return "paused: agents stand still before their next step, evaluations in flight finish"

    async def _resume(self, arguments: Mapping[str, Any]) -> str:
        core, agent = self._core, self._agent(arguments)
        if not core.pauses.go_on(agent):
            raise UserError(
                f"{agent or 'the run'} is not paused",
                expected="a paused run or agent",
                action="look at what it does: harness status",
            )
        if agent is not None:
            return f"{agent} goes on"
        core.budget.stand_still(False)
        core.store.set_meta(PAUSED, "")
        return "goes on"

    async def _tell(self, arguments: Mapping[str, Any]) -> str:
        self._refuse_when_ending()
        text = str(arguments.get("text") or "").strip()
        if not text:
            raise UserError(
                "there is nothing to tell", expected="a text", action='harness tell RUN "text"'
            )
        agent, urgent = self._agent(arguments), bool(arguments.get("urgent"))
        told = [agent] if agent else [member.agent for member in self._core.roster.active()]
        for each in told:
            said = f"[from the user]\n{text}"
            intervention = Intervention("user", each, "harness tell", said, urgent=urgent)
            self._core.intervene(intervention)
        when = "now" if urgent else "with its next turn" if agent else "with their next turns"
        return f"told {', '.join(told)}; read {when}"

    async def _set(self, arguments: Mapping[str, Any]) -> str:
        values = cast(Mapping[str, Any], arguments.get("values") or {})
        core = self._core
        self._refuse_when_ending()
        config = changed(core.config, values, core.budget, heartbeat_rules(core.config))
        if config.budget.usd is not None:
            check_prices(config)
            if core.budget.usd is None:
                raise UserError(
                    "a budget in USD, but what was used so far has no known price",
                    expected="a run whose calls all had a price",
                    action="use budget.tokens",
                )
        await self._check_models(config)
        return await self._apply(config, values)

    async def _check_models(self, config: RunConfig) -> None:
        """A model that nobody used so far has to be one that its endpoint knows."""
        before = [each for agent in self._core.config.agent_configs for each in agent.choices]
        after = [each for agent in config.agent_configs for each in agent.choices]
        for model in after:
            if model in before or not model.name:
                continue
            known = await self._core.endpoints.client(model).check()
            if known and model.name not in known:
                raise UserError(
                    f"the endpoint knows no model {model.name!r}",
                    expected=f"one of {', '.join(known[:20])}",
                    action="correct agent.model.name",
                )

    async def _heartbeat(self, arguments: Mapping[str, Any]) -> str:
        name, rule = str(arguments["name"]), arguments.get("rule")
        before = heartbeat_rules(self._core.config)
        if rule is None and name not in (each.name for each in before):
            raise UserError(
                f"there is no heartbeat rule {name!r}",
                expected=f"one of {', '.join(each.name for each in before) or 'none'}",
                action="harness heartbeat list",
            )
        document = None if rule is None else {"name": name, **rule}
        rules = replaced([each.model_dump() for each in before], name, document)
        config = self._core.config.model_dump() | {"heartbeats": rules}
        await self._apply(validate(config, "harness heartbeat"), {"heartbeats": name})
        return f"heartbeat {name} is {'off' if rule is None else 'set'}"

    async def _apply(self, config: RunConfig, values: Mapping[str, Any]) -> str:
        core = self._core
        for other in self._others:
            other.configure(config)
        await core.budget.extend(config.budget)
        core.roster.configure(config)
        core.config = config
        save_config(config, core.folder.config)
        if "agents" in values:
            self._team.resize(config.agent_count, "harness set")
        return f"set {', '.join(values)}"

    def _refuse_when_ending(self) -> None:
        if self._core.ending:
            raise UserError(
                f"the run is ending ({self._core.ending.reason})",
                expected="a run that goes on",
                action="harness resume RUN once it has ended",
            )

    def _agent(self, arguments: Mapping[str, Any]) -> AgentId | None:
        name = arguments.get("agent")
        if not name:
            return None
        active = [member.agent for member in self._core.roster.active()]
        if name not in active:
            raise UserError(
                f"no agent {name!r} works in this run",
                expected=f"one of {', '.join(active)}",
                action="harness status",
            )
        return AgentId(str(name))
