"""The text data sets: where each is, how its rows read, and what is asked of the model."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bakeoff.rewards.extract import extract
from bakeoff.tasks.examples import (
    CHINESE_INSTRUCTION,
    ENGLISH_INSTRUCTION,
    Example,
    boxed_response,
)
from bakeoff.tasks.rows import HubDataSet, Row
from bakeoff.types import Split

# Two problems of MATH's training set were published with an empty solution.
_MATH_WITHOUT_SOLUTION = {
    "For any integer $n>1$, the number of prime numbers greater than $n!+1$": "0",
    "You are given a sequence of $58$ terms; each term has the form $P+n$": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """One text data set."""

    name: str
    hub: HubDataSet
    hub_splits: Mapping[Split, str]  # the hub's name of each; on disk it is SPLIT.jsonl
    read: Callable[[Row], Example]
    instruction: str = ENGLISH_INSTRUCTION
    validation_problems: int = 0  # the last ones of the training file, held out of training


def read_gsm8k(row: Row) -> Example:
    """The number after ``####`` is the answer, what stands before it the solution."""
    rationale, mark, answer = row.text("answer").rpartition("####")
    answer = _without_separators(answer)
    if not mark or not answer:
        raise row.error("'answer' must end in #### and a number")
    # The calculator's annotations, <<48/2=24>>, are for a tool that the model does not have.
    rationale = re.sub(r"<<[^<>]*>>", "", rationale).strip()
    return Example(
        question=row.text("question"),
        answer=answer,
        solution=f"{rationale}\n{boxed_response(answer)}",
    )


def read_math(row: Row) -> Example:
    """The last box of the solution holds the answer."""
    problem = row.text("problem")
    for beginning, known in _MATH_WITHOUT_SOLUTION.items():
        if problem.startswith(beginning):
            return Example(question=problem, answer=known)
    solution = row.text("solution")
    if "\\boxed" not in solution:
        solution = solution.replace("\\fbox", "\\boxed")
    # Some boxes go without braces, up to the end of the formula.
    solution = re.sub(r"\\boxed\s+([^\s{$][^$]*)(?=\$)", r"\\boxed{\1}", solution)
    answer = extract(solution).strict_answer
    if answer is None:
        raise row.error("'solution' must have its answer in a \\boxed{}")
    return Example(question=problem, answer=answer, solution=solution)


def read_math500(row: Row) -> Example:
    return Example(question=row.text("problem"), answer=row.text("answer"))


def read_svamp(row: Row) -> Example:
    """Some bodies lack their full stop; without it the question would run on."""
    body = row.text("Body")
    stop = "" if body.endswith((".", "?", "!", ",")) else "."
    return Example(
        question=f"{body}{stop} {row.text('Question')}",
        answer=_whole(row.text("Answer")),
        key=row.text("ID"),  # files and hub order the problems differently
    )


def read_cmath(row: Row) -> Example:
    return Example(question=row.text("question"), answer=row.text("golden"))


def read_mgsm(row: Row) -> Example:
    """From the hub's rows, or from rows that hold a chat."""
    messages = row.fields.get("messages")
    if messages is None:
        question = row.text("question")
    else:
        try:
            question = next(message["content"] for message in messages if message["role"] == "user")
        except (StopIteration, TypeError, KeyError):
            raise row.error("'messages' must hold a message of the role user") from None
    return Example(
        question=question, answer=_without_separators(row.text("answer_number", "answer"))
    )


CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            name="gsm8k",
            hub=HubDataSet(repository="openai/gsm8k", config="main"),
            hub_splits={Split.TRAIN: "train", Split.TEST: "test"},
            read=read_gsm8k,
            validation_problems=500,
        ),
        Corpus(
            name="math",
            hub=HubDataSet(repository="DigitalLearningGmbH/MATH-lighteval"),
            hub_splits={Split.TRAIN: "train", Split.TEST: "test"},
            read=read_math,
            validation_problems=500,
        ),
        Corpus(
            name="math500",
            hub=HubDataSet(repository="HuggingFaceH4/MATH-500"),
            hub_splits={Split.TEST: "test"},
            read=read_math500,
        ),
        Corpus(
            name="svamp",
            hub=HubDataSet(repository="ChilleD/SVAMP"),
            # All 1000 are for testing, as in arXiv:2402.03300v3; the hub's cut is a later one.
            hub_splits={Split.TEST: "train+test"},
            read=read_svamp,
        ),
        Corpus(
            name="cmath",
            hub=HubDataSet(repository="weitianwen/cmath"),
            hub_splits={Split.TEST: "test"},
            read=read_cmath,
            instruction=CHINESE_INSTRUCTION,
        ),
        Corpus(
            name="mgsm_zh",
            # The default branch holds a loading script, which `datasets` no longer runs.
            hub=HubDataSet(
                repository="juletxara/mgsm", config="zh", revision="refs/convert/parquet"
            ),
            hub_splits={Split.TEST: "test"},
            read=read_mgsm,
            instruction=CHINESE_INSTRUCTION,
        ),
    )
}


def _without_separators(answer: str) -> str:
    return answer.replace(",", "").strip()


def _whole(answer: str) -> str:
    return re.sub(r"\.0+$", "", answer)
