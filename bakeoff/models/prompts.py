"""Problems as the policy sees them."""

from transformers import PreTrainedTokenizerBase

from bakeoff.config import ModelConfig
from bakeoff.errors import ConfigError
from bakeoff.types import Problem, Prompt


class PromptFormat:
    """One template for every method: the tokenizer's chat template, or the plain instruction."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, instruction: str, config: ModelConfig
    ) -> None:
        self._tokenizer = tokenizer
        self._instruction = instruction
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if config.prompt_format == "chat" and not has_template:
            raise ConfigError(
                f"prompt_format is chat, but the tokenizer of {config.model!r} has no chat "
                "template; use plain"
            )
        self._chat = config.prompt_format == "chat" or (
            config.prompt_format == "auto" and has_template
        )

    def render(self, problem: Problem) -> Prompt:
        """The prompt of a problem; ValueError when it has no tokens."""
        text = self._instruction.format(question=problem.question)
        if self._chat:
            text = self._tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
            )
        # A rendered chat template already holds its special tokens.
        token_ids = self._tokenizer(text, add_special_tokens=not self._chat)["input_ids"]
        if not token_ids:
            raise ValueError(f"the prompt of {problem.id} has no tokens")
        return Prompt(problem=problem, text=text, token_ids=tuple(token_ids))
