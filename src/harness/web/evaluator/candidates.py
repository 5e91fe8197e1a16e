"""From what a client sends as a candidate to the tree that is evaluated."""

from collections.abc import Mapping

from harness.errors import SubmissionRefusedError, TaskError
from harness.evaluators.strict_json import Json
from harness.evaluators.submission import submission_rules
from harness.sandbox.scan import Sieve, accepted, scan
from harness.sandbox.tree import TreeFile, path_problem
from harness.tasks.base import Task


class Candidates:
    """Lays texts over the task's seed, and refuses what an agent could not submit either.

    Raises:
        TaskError: The seed cannot be submitted.
    """

    def __init__(self, task: Task) -> None:
        self.rules = submission_rules(task)
        try:
            # The task's author's own folder: a package installer may have hard-linked files in it.
            self._seed = scan(task.seed, self.rules, hard_links=True)
        except SubmissionRefusedError as refused:
            raise TaskError(
                f"the seed cannot be submitted: {refused}",
                expected="a seed that the task's 'submission' accepts",
                action=f"harness task check {task.folder}",
            ) from None

    @property
    def paths(self) -> list[str]:
        """Paths of the seed's files, sorted."""
        return list(self._seed)

    @property
    def seed(self) -> str | dict[str, str]:
        """The seed as a client would send it: a text if it is one file, else texts by path.

        Files that are not UTF-8 are left out: they are part of every candidate as they are.
        """
        texts: dict[str, str] = {}
        for path, file in self._seed.items():
            try:
                texts[path] = file.data.decode("utf-8")
            except UnicodeDecodeError:
                continue
        return next(iter(texts.values())) if len(self._seed) == len(texts) == 1 else texts

    def tree(self, candidate: Json) -> dict[str, TreeFile]:
        """The files of a candidate: a text (tasks of one file), or texts by path.

        Raises:
            SubmissionRefusedError: Says what cannot be submitted, and why.
        """
        files = dict(self._seed)
        for path, text in self._texts(candidate).items():
            kept = self._seed.get(path)
            files[path] = TreeFile(_encoded(path, text), kept.executable if kept else False)
        self._check(files)
        return dict(sorted(files.items()))

    def _texts(self, candidate: Json) -> Mapping[str, str]:
        if isinstance(candidate, str):
            if len(self._seed) == 1:
                return {self.paths[0]: candidate}
            raise SubmissionRefusedError(
                "'candidate' is one text, and the task has several files; send an object of texts"
                f" by path, as in {{{self.paths[0]!r}: TEXT}}"
            )
        if not isinstance(candidate, dict) or not candidate:
            raise SubmissionRefusedError(
                "'candidate' must be a text, or an object of texts by path with at least one"
            )
        texts = {path: text for path, text in candidate.items() if isinstance(text, str)}
        for path in candidate:
            if path not in texts:
                raise SubmissionRefusedError(f"'candidate': {path[:120]!r} must be a text")
        return texts

    def _check(self, files: Mapping[str, TreeFile]) -> None:
        sieve = Sieve(self.rules)
        for path, file in files.items():
            problem = path_problem(path)
            if problem is not None:
                raise SubmissionRefusedError(f"{path[:120]!r} cannot be submitted: {problem}")
            above = _folders(path)
            for folder in above:
                if folder in files:
                    raise SubmissionRefusedError(f"{folder!r} is both a file and a folder")
            # Before `admits`, as a scan would: nothing below an excluded folder is looked at.
            if not all(map(sieve.enters, above)) or not sieve.admits(
                path, "file", size=len(file.data)
            ):
                raise SubmissionRefusedError(self._left_out(path))
            accepted(path, file)

    def _left_out(self, path: str) -> str:
        rules = self.rules
        but = f" without {', '.join(rules.exclude)}" if rules.exclude else ""
        return (
            f"{path!r} is not part of a submission: {', '.join(rules.include)}{but} is;"
            f" the seed has {', '.join(self.paths)}"
        )


def _folders(path: str) -> list[str]:
    """The folders above `path`, the topmost first."""
    names = path.split("/")
    return ["/".join(names[:depth]) for depth in range(1, len(names))]


def _encoded(path: str, text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise SubmissionRefusedError(
            f"{path[:120]!r} has half a surrogate pair in it: no text can be written with that"
        ) from None
