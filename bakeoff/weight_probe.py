"""A few fixed tokens that sampler and trainer both score: do they hold the same weights?"""

from __future__ import annotations

from dataclasses import replace

from bakeoff.batch import collate
from bakeoff.config import SamplingConfig
from bakeoff.interfaces import Engine, NoiseAddress, Sampler
from bakeoff.types import Prompt, Reward, Rollout

DRAWN_TOKENS = 32
PROBE_PLACES = 2  # few, because the probe is a share of every batch


class WeightProbe:
    """A prompt and a completion drawn at the start, cut before its least likely tokens.

    Those are what an update moves most. The sampler draws one token after every cut, on fixed
    noise, so that it answers from the weights and by the code that it samples with; one short
    forward pass on either side.

    Args:
        prompt: a training prompt.
        sampler: what draws.
        engine: what trains.
        sampling: the run's.
        seed: of the noise.
        pad_token_id: the policy's.
    """

    def __init__(
        self,
        prompt: Prompt,
        *,
        sampler: Sampler,
        engine: Engine,
        sampling: SamplingConfig,
        seed: int,
        pad_token_id: int,
    ) -> None:
        self._sampler = sampler
        self._engine = engine
        self._noise = NoiseAddress(seed=seed, batch="weight probe")
        self._pad_token_id = pad_token_id
        self._one_token = replace(sampling, max_response_tokens=1)
        tokens = min(DRAWN_TOKENS, sampling.max_response_tokens)
        ((drawn,),) = sampler.sample(
            [prompt],
            group_size=1,
            sampling=replace(sampling, max_response_tokens=tokens),
            noise=self._noise,
        )
        places = sorted(range(len(drawn.logprobs)), key=drawn.logprobs.__getitem__)
        self._prompts = [
            replace(
                prompt,
                problem=replace(prompt.problem, id=f"{prompt.problem.id}/{place}"),
                token_ids=prompt.token_ids + drawn.token_ids[:place],
            )
            for place in places[:PROBE_PLACES]
        ]

    def gap(self) -> float:
        """Mean |log-probability| difference between sampler and trainer now, in nats."""
        groups = self._sampler.sample(
            self._prompts, group_size=1, sampling=self._one_token, noise=self._noise
        )
        rollouts = [
            Rollout(
                problem=prompt.problem,
                prompt_ids=prompt.token_ids,
                completion=completion,
                reward=Reward(correct=False, outcome=0.0),
                group=place,
            )
            for place, (prompt, (completion,)) in enumerate(zip(self._prompts, groups, strict=True))
        ]
        batch = collate(rollouts, pad_token_id=self._pad_token_id)
        gap = self._engine.policy_logprobs(batch) - batch.sampler_logprobs
        return gap[batch.response_mask].abs().mean().item()
