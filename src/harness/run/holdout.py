"""Champions scored once more when a run ends, on data that no score was told of."""

from collections.abc import Awaitable, Callable

from harness.attempt import Attempt, Status, Verdict
from harness.evaluators.base import EvaluationJob
from harness.evaluators.pool import EvaluatorPool
from harness.evaluators.submission import RecordedSubmission
from harness.run.core import Core

MakePool = Callable[[], Awaitable[EvaluatorPool | None]]


class Holdout:
    """The end of a run whose task has a hold-out (`evaluator.hidden.holdout`).

    Its verdicts go to the journal and from there to reports. Nothing of them reaches the graph, the
    policy, the memory or an agent, so a run that is resumed goes on as if there had been none.
    """

    def __init__(self, core: Core, make_pool: MakePool) -> None:
        self._core = core
        self._make_pool = make_pool

    async def score_champions(self) -> None:
        """Score those of the best that have not been; a kill loses at most the one in work."""
        spec = self._core.task.file.evaluator.hidden
        if spec is None or spec.holdout is None:
            return
        known = self._core.store.attempts.on_holdout()
        missing = [each for each in self._champions(spec.champions) if each.id not in known]
        if not missing or (pool := await self._make_pool()) is None:
            return
        try:
            for champion in missing:
                verdict = await self._score(pool, champion)
                if verdict.charged:
                    self._core.store.attempts.held_out(champion.id, verdict)
        finally:
            await pool.close()

    def _champions(self, count: int) -> list[Attempt]:
        scored = [a for a in self._core.graph if a.status is Status.SCORED and a.score is not None]
        sign = -1.0 if self._core.task.direction == "maximize" else 1.0
        # Of equals the earlier: a later one may have been fitted to the scores told before.
        return sorted(scored, key=lambda a: (sign * (a.score or 0.0), int(a.id)))[:count]

    async def _score(self, pool: EvaluatorPool, champion: Attempt) -> Verdict:
        core = self._core
        job = EvaluationJob(
            attempt=champion.id,
            submission=RecordedSubmission(core.repository, champion.tree),
            seed=core.config.seed,
            labels={"harness.run": core.folder.id, "harness.attempt": champion.id},
        )
        with core.timings.phase("holdout"):
            return await pool.evaluate(job)
