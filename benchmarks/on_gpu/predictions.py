"""What every arm would take in memory, by the predictor: on the processor alone."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial

from bakeoff.config import ModelConfig, SamplingConfig
from bakeoff.memory.predictor import predict
from bakeoff.memory.rehearsal import Workload
from benchmarks.on_gpu.arms import Arm, arms
from benchmarks.on_gpu.child import Row, attempted
from benchmarks.on_gpu.material import architecture_of
from benchmarks.on_gpu.scale import Setting

AT_ONCE = 12  # processes at most
SPARE = 4  # cores that are left to what is measured meanwhile


def run(setting: Setting) -> Iterator[Row]:
    """A row an arm as they are done; the largest models, which take longest, begin first."""
    asked = [
        arm for work in reversed(setting.scale.memory) for arm in arms(setting.scale, work.model)
    ]
    # Not `spawn` of a fork: this process may have begun threads.
    context = multiprocessing.get_context("spawn")
    workers = max(1, min(AT_ONCE, len(asked), (os.cpu_count() or 1) - SPARE))
    if workers == 1:
        yield from (prediction(arm, setting.device) for arm in asked)
        return
    with ProcessPoolExecutor(max_workers=workers, mp_context=context) as pool:
        futures = [pool.submit(prediction, arm, setting.device) for arm in asked]
        for future in as_completed(futures):
            yield future.result()


def prediction(arm: Arm, device: str) -> Row:
    """The bytes of an arm by phase and component."""
    return attempted(arm.title, partial(_predicted, arm, device)) | {"model": arm.work.model}


def _predicted(arm: Arm, device: str) -> Row:
    start = time.process_time()
    workload = Workload(
        prompt_tokens=arm.work.prompt_tokens,
        model=ModelConfig(compute_dtype="bfloat16"),
        sampling=SamplingConfig(max_response_tokens=arm.work.response_tokens),
        training=arm.training(),
        device_type=device,
    )
    told = predict(architecture_of(arm.work.model), arm.algorithm(), workload)
    return {
        "parameters": told.parameters,
        "peak_phase": told.peak_phase,
        "peak_bytes": told.peak_bytes,
        "phases": {
            name: {which.value: count for which, count in phase.device.items()}
            for name, phase in told.phases.items()
        },
        "cpu_seconds": round(time.process_time() - start, 2),
    }
