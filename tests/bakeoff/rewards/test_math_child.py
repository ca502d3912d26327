import subprocess
import sys

import pytest

from bakeoff.rewards import math_child

pytest.importorskip("math_verify")


def test_the_child_imports_neither_torch_nor_this_package() -> None:
    code = (
        f"import runpy, sys; sys.argv = ['child', '5', {str(2**32)!r}]\n"
        f"try: runpy.run_path({math_child.__file__!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'bakeoff', 'transformers'} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", code], input="", capture_output=True, text=True
    )
    assert result.stdout == '{"ready": true, "reason": ""}\n'
    assert result.stderr.strip().endswith("[]")


def test_an_exception_is_the_answers_fault_only_if_gold_compares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = math_child._verify

    def fails_on_answers(gold: list[object], answer: list[object]) -> bool:
        if gold != answer:
            raise TypeError("cannot")
        return real(gold, answer)

    monkeypatch.setattr(math_child, "_verify", fails_on_answers)
    assert math_child.grade("x", "y") == (False, "cannot be compared: TypeError in math-verify")

    def fails_always(gold: list[object], answer: list[object]) -> bool:
        raise ValueError("signal only works in main thread of the main interpreter")

    monkeypatch.setattr(math_child, "_verify", fails_always)
    assert math_child.grade("x", "x") == (None, "ValueError in math-verify")


def test_the_child_can_take_no_more_than_its_memory() -> None:
    code = (
        f"import runpy; child = runpy.run_path({math_child.__file__!r})\n"
        "child['_limit_memory'](2**29)\n"
        "try: bytearray(2**30)\n"
        "except MemoryError: print('refused')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if sys.platform == "linux":
        assert result.stdout == "refused\n"


def test_memory_that_runs_out_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def runs_out(gold: list[object], answer: list[object]) -> bool:
        raise MemoryError

    monkeypatch.setattr(math_child, "_verify", runs_out)
    assert math_child.grade("x", "x")[0] is None
