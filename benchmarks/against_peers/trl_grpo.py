"""TRL's GRPOTrainer, as a child of that library's own environment."""

from __future__ import annotations

from typing import Any

from benchmarks.against_peers.child import WARM_UP, Clock, Found, Job, device_bytes, read_job, tell
from benchmarks.against_peers.rewards import share_of_letter
from benchmarks.against_peers.task import questions


def train(job: Job) -> Found:
    """Trains `job.updates` + `WARM_UP` optimizer steps of one generation each."""
    # Here, so that the file can be read where they are not installed.
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer  # type: ignore[import-not-found]

    torch.set_num_threads(job.threads)
    clock = Clock()

    class EndOfUpdate(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.end()

    def reward(completions: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        clock.count(sum(len(token_ids) for token_ids in completion_ids))
        return share_of_letter(completions)

    config = GRPOConfig(
        output_dir=job.scratch,
        # One generation an update, one optimizer step a generation.
        per_device_train_batch_size=job.micro_batch,
        gradient_accumulation_steps=job.samples // job.micro_batch,
        num_generations=job.group_size,
        num_iterations=1,
        max_steps=job.updates + WARM_UP,
        max_completion_length=job.max_response_tokens,
        beta=job.kl_coefficient,
        learning_rate=job.learning_rate,
        lr_scheduler_type="constant",
        loss_type="grpo",
        epsilon=0.2,
        temperature=1.0,
        disable_dropout=True,
        # The memory that it saves is bought with a second forward pass.
        gradient_checkpointing=False,
        bf16=job.compute_dtype == "bfloat16",
        use_cpu=job.device == "cpu",
        # Otherwise an epoch's end would come after every update.
        shuffle_dataset=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=0,
    )
    rows = [{"prompt": text} for text in questions()[: job.prompts]] * (job.updates + 2)
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(job.model),
        reward_funcs=reward,
        args=config,
        train_dataset=Dataset.from_list(rows),
        callbacks=[EndOfUpdate()],
    )
    trainer.train()
    return clock.found(device_bytes=device_bytes(job))


if __name__ == "__main__":
    tell(train(read_job()))
