"""The team as it is now: members, their settings, the models they use, what they claim."""

from collections.abc import Sequence

from harness.agents.bandit import arms
from harness.agents.base import AgentConfig, ModelConfig
from harness.clock import Clock
from harness.ids import AgentId
from harness.run.config import RunConfig
from harness.run.members import Member, MemberTable

TEXT_CHARACTERS = 400


class Roster:
    """Members by agent, kept in the store. Belongs to the event loop."""

    def __init__(self, table: MemberTable, config: RunConfig, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._members = {member.agent: member for member in table.all()}
        self._chosen: dict[AgentId, str] = {}
        self.configure(config)
        if not self._members:
            for group, settings in enumerate(config.groups):
                for _ in range(settings.count):
                    self.join(group, role=settings.role, reason="launched")

    def configure(self, config: RunConfig) -> None:
        """Take the settings from another configuration."""
        self._configs = config.agent_configs
        self._roles = [group.role for group in config.groups]

    def __getitem__(self, agent: AgentId) -> Member:
        return self._members[agent]

    def __contains__(self, agent: AgentId) -> bool:
        return agent in self._members

    def active(self) -> list[Member]:
        """Those who work, in the order in which they joined."""
        return [member for member in self._members.values() if member.retired_at is None]

    def config(self, agent: AgentId) -> AgentConfig:
        """The agent's settings."""
        group = self._members[agent].group
        return self._configs[min(group, len(self._configs) - 1)]

    def choices(self, agent: AgentId) -> Sequence[ModelConfig]:
        """The models the agent's directives may be given to."""
        member, choices = self._members[agent], self.config(agent).choices
        if member.model is not None:
            named = [choice for choice in choices if choice.name == member.model]
            choices = tuple(named) or (choices[0].model_copy(update={"name": member.model}),)
        if member.temperature is not None:
            changed = {"temperature": member.temperature}
            choices = tuple(choice.model_copy(update=changed) for choice in choices)
        return choices

    def choose(self, agent: AgentId, model: str | None) -> None:
        """The agent's open directive is given to the model of this name (`bandit.arms`)."""
        if model is None:
            self._chosen.pop(agent, None)
        else:
            self._chosen[agent] = model

    def model(self, agent: AgentId) -> ModelConfig:
        """The model in force."""
        choices = self.choices(agent)
        if len(choices) == 1:
            return choices[0]
        by_arm = dict(zip(arms(choices), choices, strict=True))
        return by_arm.get(self._chosen.get(agent, ""), choices[0])

    def join(
        self, group: int, *, role: str = "", origin: AgentId | None = None, reason: str
    ) -> Member:
        """A new member."""
        number = len(self._members) + 1
        member = Member(AgentId(f"agent-{number}"), number, group, role, origin=origin)
        self._members[member.agent] = member
        self._table.put(member, "joined", reason)
        return member

    def retire(self, agent: AgentId, reason: str) -> None:
        """The member works no more; its name is never given again."""
        member = self._members[agent]
        member.retired_at = self._clock.now()
        member.focus = ""
        self._table.put(member, "retired", reason)

    def retune(
        self, agent: AgentId, model: str | None, temperature: float | None, reason: str
    ) -> None:
        """Another model or temperature from the next turn on; None: as it is."""
        member = self._members[agent]
        member.model = member.model if model is None else model
        member.temperature = member.temperature if temperature is None else temperature
        self._table.put(member, "retuned", reason)

    def claim(self, agent: AgentId, focus: str | None, role: str | None) -> None:
        """What the member concentrates on, and its role in its own words; None: as it was."""
        member = self._members[agent]
        before = (member.focus, member.role)
        member.focus = before[0] if focus is None else " ".join(focus.split())[:TEXT_CHARACTERS]
        member.role = before[1] if role is None else " ".join(role.split())[:TEXT_CHARACTERS]
        if before != (member.focus, member.role):
            self._table.put(member, "claimed")
