"""Every hostile candidate, in Docker and in bubblewrap: no score that it did not earn."""

import pytest
from tests.zoo.attack import HONEST_SCORE, Attack
from tests.zoo.conftest import Target
from tests.zoo.escaping import ESCAPING
from tests.zoo.exhausting import EXHAUSTING
from tests.zoo.forging import FORGING
from tests.zoo.reading import READING

CANDIDATES = (*FORGING, *READING, *ESCAPING, *EXHAUSTING)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("attack", CANDIDATES, ids=lambda attack: attack.name)
async def test_candidate(
    target: Target,
    attack: Attack,
    request: pytest.FixtureRequest,
    results: dict[str, dict[str, str]],
) -> None:
    assert target.surroundings is not None
    verdict = await target.verdict({**dict(attack.files), "solve.py": attack.code})
    assert verdict.status.value in attack.ends, verdict
    # A score is the honest one, or there is none.
    assert verdict.score in (None, HONEST_SCORE), verdict
    await target.surroundings.check()
    twin = await target.honest()
    assert twin.score == HONEST_SCORE, twin
    sandbox = request.node.callspec.params["target"]
    results.setdefault(attack.name, {})[sandbox] = (
        "honest score" if verdict.score is not None else verdict.status.value
    )
