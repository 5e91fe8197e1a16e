"""The leaderboard's table: medals in per cent, as mean and standard error over seeds."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from harness.tasks.mlebench.registry import complexity

Reports = Mapping[int, Mapping[str, Mapping[str, Any]]]
MEDALS = ("gold", "silver", "bronze")


def summary(reports: Reports) -> dict[str, Any]:
    """Shares by complexity, and medals of each competition.

    A share of a seed is over the competitions of it whose medals are known; one without a valid
    submission counts as none.
    """
    names = sorted({name for seed in reports.values() for name in seed})
    groups = {
        "low": [n for n in names if complexity(n) == "low"],
        "medium": [n for n in names if complexity(n) == "medium"],
        "high": [n for n in names if complexity(n) == "high"],
        "all": names,
    }
    return {
        "seeds": sorted(reports),
        "any_medal": {key: _share(reports, group, "any_medal") for key, group in groups.items()},
        "valid": _share(reports, names, "valid_submission"),
        "above_median": _share(reports, names, "above_median"),
        "unknown_medals": sum(
            each["any_medal"] is None for seed in reports.values() for each in seed.values()
        ),
        "fitness": sorted({r["fitness"] for seed in reports.values() for r in seed.values()}),
        "competitions": [_competition(reports, name) for name in names],
    }


def _share(reports: Reports, names: Sequence[str], key: str) -> dict[str, float | None] | None:
    """Per cent; None where nothing is known. One seed has no standard error."""
    shares: list[float] = []
    for seed in reports.values():
        values = [seed[n][key] for n in names if n in seed and seed[n][key] is not None]
        if values:
            shares.append(100 * sum(map(bool, values)) / len(values))
    if not shares:
        return None
    sem = statistics.stdev(shares) / math.sqrt(len(shares)) if len(shares) > 1 else None
    return {"mean": statistics.fmean(shares), "sem": sem}


def _competition(reports: Reports, name: str) -> dict[str, Any]:
    mine = [seed[name] for seed in reports.values() if name in seed]
    counts = {medal: sum(bool(r[f"{medal}_medal"]) for r in mine) for medal in MEDALS}
    return {
        "id": name,
        "runs": len(mine),
        **counts,
        "scores": [r["score"] for r in mine],
        "validation_scores": [r.get("validation_score") for r in mine],
        "marked": sum(bool(r.get("marks")) for r in mine),
    }


def render(content: Mapping[str, Any]) -> list[str]:
    """The summary in Markdown."""
    shares = content["any_medal"]
    keys = ("low", "medium", "high", "all")
    row = [*(shares[key] for key in keys), content["valid"], content["above_median"]]
    lines = [
        f"Any medal in %, mean ± standard error over {len(content['seeds'])} seeds",
        "",
        "| Low | Medium | High | All | valid % | above median % |",
        "|---|---|---|---|---|---|",
        f"| {' | '.join(map(_shown, row))} |",
        "",
        "| competition | runs | gold | silver | bronze | test | hidden validation | marked |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in content["competitions"]:
        test, hidden = (_numbers(each[key]) for key in ("scores", "validation_scores"))
        medals = " | ".join(str(each[medal]) for medal in MEDALS)
        cells = [each["id"], each["runs"], medals, test, hidden, each["marked"]]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    if content["unknown_medals"]:
        lines += ["", f"{content['unknown_medals']} runs without a leaderboard: medals unknown."]
    sources = " and ".join(content["fitness"])
    mixed = " Not comparable: two sources of fitness." if len(content["fitness"]) > 1 else ""
    lines += ["", f"Fitness: {sources}.{mixed} The held-out test was graded once for each run."]
    return lines


def _numbers(scores: Sequence[float | None]) -> str:
    return ", ".join("-" if score is None else f"{score:g}" for score in scores)


def _shown(share: Mapping[str, float | None] | None) -> str:
    if share is None:
        return "-"
    sem = "" if share["sem"] is None else f" ± {share['sem']:.2f}"
    return f"{share['mean']:.2f}{sem}"
