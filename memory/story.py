"""Why an attempt was shown what it was shown, and what came of it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, cast

from harness.clock import isoformat
from harness.memory.store import Store

MOST_LINES = 12
"""Records that are told for people; those that were shown are nearly always among them."""


@dataclass(frozen=True, slots=True)
class Considered:
    """A record that a recall could have shown; `rank` is None if it did not."""

    id: str
    title: str
    lexical: float
    dense: float
    prior: float
    score: float
    rank: int | None
    cited: bool


@dataclass(frozen=True, slots=True)
class ToldRecall:
    """One recall with all that was considered, best first."""

    at: float
    purpose: str
    query: str
    found: int
    considered: tuple[Considered, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """All recalls that served an attempt."""

    run: str
    attempt: str
    agent: str
    outcome: str
    recalls: tuple[ToldRecall, ...]

    def plain(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self) | {
            "recalls": [{**asdict(each), "at": isoformat(each.at)} for each in self.recalls]
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"attempt {self.attempt} of {self.run}, by {self.agent}: {self.outcome}"
        for recall in self.recalls:
            yield ""
            yield f"{isoformat(recall.at)} recall for {recall.purpose}: {_short(recall.query)}"
            yield (
                f"{recall.found} related records; each one's share of the words and of the vector, "
                "times what use and age say of it"
            )
            for each in recall.considered[:MOST_LINES]:
                place = f"{each.rank}." if each.rank else "-"
                yield (
                    f"  {place:<3} {each.id[:8]} {each.score:.3f} = (words {each.lexical:.2f}, "
                    f"vector {each.dense:.2f}) x {each.prior:.2f}  {_short(each.title, 60)}"
                    + ("  [cited]" if each.cited else "")
                )
            if len(recall.considered) > MOST_LINES:
                yield f"  and {len(recall.considered) - MOST_LINES} less related, with --json"


def story_of(store: Store, attempt: str, run: str | None) -> Story | None:
    """The story of an attempt; None if nothing was recalled for it.

    Args:
        store: The memory.
        attempt: Its number.
        run: The run's id; None for the newest one with such an attempt.
    """
    entries = store.log(run=run, attempt=attempt, limit=1_000)
    credited = [entry for entry in entries if entry.op == "credit"]
    if not credited:
        return None
    credit = credited[-1]
    own = [entry for entry in entries if (entry.run, entry.agent) == (credit.run, credit.agent)]
    cited = {shown.id for entry in own if entry.op == "cite" for shown in entry.records}
    recalls: list[ToldRecall] = []
    for entry in own:
        if entry.op != "recall":
            continue
        ranks = {str(shown.id): shown.rank for shown in entry.records}
        rows = cast("list[tuple[int, float, float, float, float]]", entry.detail.get("candidates"))
        records = store.by_seq([int(row[0]) for row in rows or []])
        considered = [
            Considered(
                records[row[0]].id,
                records[row[0]].title,
                *row[1:],
                ranks.get(records[row[0]].id),
                records[row[0]].id in cited,
            )
            for row in rows or []
        ]
        recalls.append(
            ToldRecall(
                entry.at,
                str(entry.detail.get("purpose", "")),
                entry.query,
                int(entry.detail.get("found", len(considered))),
                tuple(considered),
            )
        )
    return Story(credit.run, attempt, credit.agent, credit.query, tuple(recalls))


def _short(text: str, limit: int = 100) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
