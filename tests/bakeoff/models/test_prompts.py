import pytest

from bakeoff.config import ModelConfig
from bakeoff.errors import ConfigError
from bakeoff.models.prompts import PromptFormat
from bakeoff.types import Problem

PROBLEM = Problem(id="x/0", question="1 +2", answer="3")
TEMPLATE = (
    "{% for m in messages %}#{{ m.content }}{% endfor %}{% if add_generation_prompt %}={% endif %}"
)


def test_plain_prompts_are_the_instruction(shared_policy):
    form = PromptFormat(shared_policy.tokenizer, instruction="{question}\n", config=ModelConfig())
    prompt = form.render(PROBLEM)
    assert prompt.text == "1 +2\n"
    assert len(prompt.token_ids) == 5


def test_doubled_braces_come_out_single(shared_policy):
    form = PromptFormat(
        shared_policy.tokenizer, instruction="{question} \\boxed{{}}", config=ModelConfig()
    )
    assert form.render(PROBLEM).text == "1 +2 \\boxed{}"


def test_a_chat_template_is_used_where_there_is_one(policy):
    policy.tokenizer.chat_template = TEMPLATE
    try:
        auto = PromptFormat(policy.tokenizer, instruction="{question}", config=ModelConfig())
        plain = PromptFormat(
            policy.tokenizer, instruction="{question}", config=ModelConfig(prompt_format="plain")
        )
        assert auto.render(PROBLEM).text == "#1 +2="
        assert plain.render(PROBLEM).text == "1 +2"
    finally:
        policy.tokenizer.chat_template = None


def test_chat_without_a_template_is_refused(shared_policy):
    with pytest.raises(ConfigError, match="no chat template"):
        PromptFormat(
            shared_policy.tokenizer,
            instruction="{question}",
            config=ModelConfig(prompt_format="chat"),
        )
