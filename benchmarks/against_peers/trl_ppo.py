"""TRL's experimental PPOTrainer, as a child of that library's own environment."""

from __future__ import annotations

from typing import Any

from benchmarks.against_peers.child import WARM_UP, Clock, Found, Job, device_bytes, read_job, tell
from benchmarks.against_peers.rewards import LETTER
from benchmarks.against_peers.task import questions


def train(job: Job) -> Found:
    """Trains `job.updates` + `WARM_UP` rollout batches of `job.epochs` optimizer steps each."""
    # Here, so that the file can be read where they are not installed.
    import torch
    from datasets import Dataset
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
        TrainerCallback,
    )
    from transformers.modeling_outputs import BaseModelOutput
    from trl.experimental.ppo import PPOConfig, PPOTrainer  # type: ignore[import-not-found]

    torch.set_num_threads(job.threads)
    tokenizer = AutoTokenizer.from_pretrained(job.model)
    rows = [{"input_ids": tokenizer(text)["input_ids"]} for text in questions()[: job.prompts]]
    clock = Clock()

    class EndOfUpdate(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            # Every batch has all prompts, and they were counted with their responses.
            clock.count(-sum(len(row["input_ids"]) for row in rows))
            clock.end()

    class Read(torch.nn.Module):
        """What `get_reward` calls a backbone: 1 where a token is the letter."""

        def forward(self, input_ids: Any, attention_mask: Any, **_: Any) -> Any:
            clock.count(int(attention_mask.sum()))
            letter = (input_ids == tokenizer.convert_tokens_to_ids(LETTER)) & attention_mask
            return BaseModelOutput(hidden_states=(letter[:, :, None].float(),))

    class ShareOfLetter(torch.nn.Module):
        """Scores every place by the share of the letter up to it."""

        base_model_prefix = "read"

        def __init__(self) -> None:
            super().__init__()
            self.read = Read()

        def score(self, letter: Any) -> Any:
            places = torch.arange(1, letter.shape[1] + 1, device=letter.device)
            return letter.cumsum(dim=1) / places[None, :, None]

    config = PPOConfig(
        output_dir=job.scratch,
        per_device_train_batch_size=job.micro_batch,
        gradient_accumulation_steps=job.samples // job.micro_batch,
        local_rollout_forward_batch_size=job.rollout_batch,
        num_mini_batches=1,
        num_ppo_epochs=job.epochs,
        total_episodes=(job.updates + WARM_UP) * job.samples,
        response_length=job.max_response_tokens,
        stop_token="eos",
        temperature=1.0,
        kl_coef=job.kl_coefficient,
        gamma=1.0,
        lam=1.0,
        cliprange=0.2,
        cliprange_value=0.2,
        learning_rate=job.learning_rate,
        lr_scheduler_type="constant",
        gradient_checkpointing=False,
        bf16=job.compute_dtype == "bfloat16",
        use_cpu=job.device == "cpu",
        num_sample_generations=0,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=0,
    )
    trainer = PPOTrainer(
        args=config,
        processing_class=tokenizer,
        model=AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.float32),
        ref_model=AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.float32),
        reward_model=ShareOfLetter(),
        value_model=AutoModelForSequenceClassification.from_pretrained(
            job.model, num_labels=1, dtype=torch.float32
        ),
        train_dataset=Dataset.from_list(rows),
        callbacks=[EndOfUpdate()],
    )
    trainer.train()
    return clock.found(device_bytes=device_bytes(job))


if __name__ == "__main__":
    tell(train(read_job()))
