"""Which of several models gets the next directive: a bandit on improvement per unit of cost.

A pure function of the history, so a resumed run chooses as the interrupted one would have.

**Reward.** Gains have no common scale and shrink as a run gets better, so each one is compared with
the gains around its time: `r = g / (g + m)`, m the median of the positive gains among the latest
pulls. A usual gain is worth 0.5, none is worth 0, a lucky one at most 1.

**Cost.** Money, or tokens (prompt and completion) as soon as one pull's price is unknown: one
yardstick for all. Everything costs an evaluation and time as well, so a fixed share of the mean is
added; it also keeps a model that is free from being worth any number of failures.

**Choice.** The upper confidence bound of the mean reward, by the mean cost. Its width follows the
spread that was seen, of all models and of the model itself (`s * sqrt(ln n / n_i)`): with rare
gains nothing is concluded early, with clear ones no pull is wasted. A model that fell behind
`sqrt(n / k) / 2` pulls is next in any case, so none is given up for good. Pulls that are not
decided yet count as pulls: many agents that choose at once spread out.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from harness.agents.config import ModelConfig

LATEST = 32
"""Pulls among which a gain is compared."""
OVERHEAD = 0.25
"""Fixed cost of a pull, as a share of the mean."""
PRIOR = 16
"""So many pulls of an arm make its own spread count as much as that of all arms together."""


@dataclass(frozen=True, slots=True)
class Pull:
    """A directive that is over: which model it had, what it brought, what it cost."""

    arm: str
    gain: float
    """Improvement in units of the score; anything not above 0 is none."""
    tokens: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen arm by its index, and the score of each."""

    index: int
    scores: tuple[float, ...]


def arms(models: Sequence[ModelConfig]) -> tuple[str, ...]:
    """A name for each model: its own, numbered where several have the same."""
    names = [model.name or "" for model in models]
    seen: Counter[str] = Counter()
    result: list[str] = []
    for name in names:
        seen[name] += 1
        result.append(name if names.count(name) == 1 else f"{name}#{seen[name]}")
    return tuple(result)


def choose(arms: Sequence[str], history: Sequence[Pull], pending: Sequence[str] = ()) -> Choice:
    """The arm for the next directive.

    Args:
        arms: At least one.
        history: Pulls in order; those of arms that are no longer there are left out.
        pending: Arms whose directives are still open.
    """
    known = [pull for pull in history if pull.arm in arms]
    counts = Counter([*(pull.arm for pull in known), *(arm for arm in pending if arm in arms)])
    total = sum(counts.values())
    costs = _costs(arms, known)
    rewards = _by_arm(arms, known)
    spread = _spread([each for found in rewards.values() for each in found])
    scores = tuple(
        _bound(rewards[arm], spread, counts[arm], total) / costs[arm] if counts[arm] else math.inf
        for arm in arms
    )
    rarest = min(range(len(arms)), key=lambda index: (counts[arms[index]], index))
    if counts[arms[rarest]] < math.sqrt(total / len(arms)) / 2:
        return Choice(rarest, scores)
    best = max(range(len(arms)), key=lambda index: (scores[index], -counts[arms[index]], -index))
    return Choice(best, scores)


def _bound(rewards: Sequence[float], spread: float, count: int, total: int) -> float:
    """Upper confidence bound of the mean reward of an arm that was pulled `count` times."""
    own = _spread(rewards)
    weight = len(rewards)
    variance = (weight * own**2 + PRIOR * spread**2) / (weight + PRIOR)
    mean = fmean(rewards) if rewards else 0.0
    return mean + math.sqrt(variance * math.log(max(total, 2)) / count)


def _spread(values: Sequence[float]) -> float:
    if not values:
        return 0.0
    mean = fmean(values)
    return math.sqrt(fmean((value - mean) ** 2 for value in values))


def _by_arm(arms: Sequence[str], known: Sequence[Pull]) -> dict[str, list[float]]:
    rewards: dict[str, list[float]] = {arm: [] for arm in arms}
    for pull, reward in zip(known, _rewards(known), strict=True):
        rewards[pull.arm].append(reward)
    return rewards


def _rewards(known: Sequence[Pull]) -> list[float]:
    """Each gain in [0, 1), compared with those of the pulls before it and its own."""
    gains = [pull.gain if math.isfinite(pull.gain) and pull.gain > 0 else 0.0 for pull in known]
    rewards: list[float] = []
    for index, gain in enumerate(gains):
        if gain > 0:
            usual = [each for each in gains[max(0, index - LATEST + 1) : index + 1] if each > 0]
            # gain / (gain + usual) without the sum, which may not be a finite number
            rewards.append(1 / (1 + median(usual) / gain))
        else:
            rewards.append(0.0)
    return rewards


def _costs(arms: Sequence[str], known: Sequence[Pull]) -> dict[str, float]:
    """Mean cost of a pull of each arm, in units of the mean of all arms; 1 where nothing costs."""
    priced = all(pull.cost_usd is not None for pull in known)
    of: dict[str, list[float]] = {arm: [] for arm in arms}
    for pull in known:
        cost = pull.cost_usd if priced and pull.cost_usd is not None else float(pull.tokens)
        of[pull.arm].append(max(0.0, cost))
    means = {arm: fmean(costs) for arm, costs in of.items() if costs}
    mean = fmean(means.values()) if means else 0.0
    if mean <= 0:
        return dict.fromkeys(arms, 1.0)
    return {arm: OVERHEAD + means.get(arm, mean) / mean for arm in arms}
