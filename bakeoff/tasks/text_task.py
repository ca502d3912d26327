"""Published text data sets as tasks."""

from collections.abc import Iterator
from pathlib import Path

from bakeoff.errors import ConfigError
from bakeoff.interfaces import Verifier
from bakeoff.rewards.math_verifier import MathVerifier
from bakeoff.tasks.corpora import Corpus
from bakeoff.tasks.examples import Example, boxed_response, repeat_shuffled
from bakeoff.tasks.rows import Row, read_hub, read_jsonl
from bakeoff.types import Problem, Split


class TextTask:
    """A corpus, read from a folder or from the hub when a split is first asked for.

    Args:
        data: a folder with SPLIT.jsonl, or with a folder of the corpus' name that has them; None
            for the hub.
    """

    def __init__(self, corpus: Corpus, *, data: str | None = None) -> None:
        self._corpus = corpus
        self._folder = None if data is None else _find_folder(corpus, data)
        self._files: dict[Split, list[tuple[Problem, str | None]]] = {}

    @property
    def name(self) -> str:
        return self._corpus.name

    @property
    def instruction(self) -> str:
        return self._corpus.instruction

    def problems(self, split: Split, *, count: int | None = None) -> list[Problem]:
        return [problem for problem, _ in self._split(split)][:count]

    def demonstrations(self, *, seed: int) -> Iterator[tuple[Problem, str]]:
        pairs = [
            (problem, solution)
            for problem, solution in self._split(Split.TRAIN)
            if solution is not None
        ]
        if not pairs:
            raise ConfigError(
                f"{self.name} has no worked solutions to train on; start from a model that can "
                "reason already, or take gsm8k"
            )
        return repeat_shuffled(pairs, address=f"{self.name}/demonstrations/{seed}")

    def gold_demonstrations(self, *, seed: int) -> Iterator[tuple[Problem, str]]:
        return self.demonstrations(seed=seed)

    def gold_response(self, problem: Problem) -> str:
        return boxed_response(problem.answer)

    def verifier(self) -> Verifier:
        return MathVerifier()

    def step_checker(self) -> None:
        return None

    def _split(self, split: Split) -> list[tuple[Problem, str | None]]:
        """Problems keep the id of the file they come from, whatever split they serve."""
        held_out = self._corpus.validation_problems
        if held_out and split is Split.VALIDATION:
            return self._file(Split.TRAIN)[-held_out:]
        if split not in self._corpus.hub_splits:
            return []
        if held_out and split is Split.TRAIN:
            return self._file(Split.TRAIN)[:-held_out]
        return self._file(split)

    def _file(self, split: Split) -> list[tuple[Problem, str | None]]:
        if split not in self._files:
            rows = self._rows(split)
            if split is Split.TRAIN and len(rows) <= self._corpus.validation_problems:
                raise ConfigError(
                    f"{self.name}/train has {len(rows)} problems; its last "
                    f"{self._corpus.validation_problems} are for validation, so it needs more"
                )
            self._files[split] = [self._problem(row, split) for row in rows]
        return self._files[split]

    def _rows(self, split: Split) -> list[Row]:
        if self._folder is None:
            return read_hub(self._corpus.hub, self._corpus.hub_splits[split])
        return read_jsonl(self._folder / f"{split.value}.jsonl")

    def _problem(self, row: Row, split: Split) -> tuple[Problem, str | None]:
        example: Example = self._corpus.read(row)
        key = example.key or row.number - 1
        problem = Problem(
            id=f"{self.name}/{split.value}/{key}", question=example.question, answer=example.answer
        )
        return problem, example.solution


def _find_folder(corpus: Corpus, data: str) -> Path:
    folder = Path(data).expanduser()
    files = [f"{split.value}.jsonl" for split in corpus.hub_splits]
    for candidate in (folder / corpus.name, folder):
        if any((candidate / file).is_file() for file in files):
            return candidate
    raise ConfigError(
        f"data {data!r} holds neither {' nor '.join(files)}, and neither does "
        f"{folder / corpus.name}; leave data out to read {corpus.hub.repository} from the hub"
    )
