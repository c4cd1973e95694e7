"""What is measured: every engine that runs here, the teacher, and a call that computes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from vla_rl_nodes.chunking.strategies.flow_sampling import continued_flow
from vla_rl_nodes.errors import InputError
from vla_rl_nodes.policy.bundle import Bundle
from vla_rl_nodes.policy.checked_engine import CheckedEngine, Floats, Samples, trial
from vla_rl_nodes.policy.flow import FlowField
from vla_rl_nodes.policy.graph import session_options
from vla_rl_nodes.policy.onnx_engine import OnnxEngine
from vla_rl_nodes.policy.selection import ENGINES, choose_engine

if TYPE_CHECKING:
    from vla_rl_nodes.learner.torch_engine import How

# The engine that the others are compared with, and that runs where nothing else does.
REFERENCE = "onnxruntime-cpu"
TORCH: tuple[How, ...] = ("torch-eager-cpu", "torch-eager-cuda", "torch-graph-cuda")
TEACHER = "teacher-onnxruntime-cpu"
TORCH_TEACHER = "teacher-torch-eager-cpu"
FLOOR = "onnxruntime-cpu-empty"
CHECKS = "checks"

# y = Identity(x), float32 [1], opset 18: what is left of a call when the graph does nothing.
_EMPTY = bytes.fromhex(
    "0808420210123a3a0a100a017812017922084964656e746974791204746573745a0f0a0178120a0a080801"
    "12040a020801620f0a0179120a0a08080112040a020801"
)
_EXAMPLES = 16


@dataclass(frozen=True)
class Example:
    """The arguments of one call."""

    observation: Samples
    prefix: Floats
    delay: int
    noise: Floats


Infer = Callable[[Example], object]


@dataclass
class Found:
    """What runs here.

    Attributes:
        engines: of the student, by name.
        others: teacher, checks and floor, by name.
        not_run: name to the reason why it does not run here.
        teacher_steps: network evaluations of one chunk of the teacher; 0 without one.
    """

    engines: dict[str, CheckedEngine] = field(default_factory=dict)
    others: dict[str, Infer] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)
    teacher_steps: int = 0

    def calls(self) -> dict[str, Infer]:
        """Everything to be timed, by name."""
        return {name: _student(engine) for name, engine in self.engines.items()} | self.others


def examples(bundle: Bundle, seed: int) -> list[Example]:
    """Made-up arguments that are nowhere all zeros, with every delay that was trained."""
    generator = np.random.default_rng(seed)
    action = bundle.contract.action
    shape = (action.chunk_length, len(action.names))
    made = []
    for index in range(max(_EXAMPLES, action.max_delay + 1)):
        observation, prefix = trial(bundle, generator)
        noise = generator.standard_normal(shape, np.float32)
        made.append(Example(observation, prefix, index % (action.max_delay + 1), noise))
    return made


def find(bundle: Bundle, cache: Path | None = None) -> Found:
    """Opens every engine that this machine has for a bundle.

    Args:
        bundle: a verified bundle.
        cache: folder of built engines; None for this user's.

    Raises:
        InputError: the bundle does not run on the CPU either.
    """
    reference = OnnxEngine(bundle)
    found = Found({REFERENCE: reference})
    if len(os.sched_getaffinity(0)) > 1:
        found.engines[f"{REFERENCE}-2-threads"] = OnnxEngine(bundle, threads=2)
    for name in ENGINES:
        if name != REFERENCE:
            _try(found, name, partial(_chosen, bundle, name, cache))
    found.others[CHECKS] = lambda e: reference.check(e.observation, e.prefix, e.delay)
    found.others[FLOOR] = _floor()
    try:
        flow = FlowField(bundle)
    except InputError as error:
        found.not_run[TEACHER] = str(error)
    else:
        found.teacher_steps = flow.steps
        found.others[TEACHER] = lambda e: continued_flow(
            flow, e.observation, e.prefix, e.delay, e.noise
        )
    _find_torch(found, bundle)
    return found


def _find_torch(found: Found, bundle: Bundle) -> None:
    try:
        from vla_rl_nodes.learner.torch_engine import TorchEngine, TorchTeacher
    except ImportError:
        for name in (*TORCH, TORCH_TEACHER):
            found.not_run[name] = "torch is not installed; install the [learner] extra"
        return
    for how in TORCH:
        _try(found, how, partial(TorchEngine, bundle, how))
    try:
        teacher = TorchTeacher(bundle)
    except InputError as error:
        found.not_run[TORCH_TEACHER] = str(error)
    else:
        found.others[TORCH_TEACHER] = lambda e: teacher.infer(
            e.observation, e.prefix, e.delay, e.noise
        )


def _try(found: Found, name: str, opened: Callable[[], CheckedEngine]) -> None:
    try:
        found.engines[name] = opened()
    except InputError as error:
        found.not_run[name] = str(error)


def _chosen(bundle: Bundle, name: str, cache: Path | None) -> CheckedEngine:
    return choose_engine(bundle, name, cache=cache).engine


def _student(engine: CheckedEngine) -> Infer:
    return lambda e: engine.infer(e.observation, e.prefix, e.delay, e.noise)


def _floor() -> Infer:
    session = onnxruntime.InferenceSession(
        _EMPTY, session_options(1), providers=["CPUExecutionProvider"]
    )
    feed = {"x": np.ones(1, np.float32)}
    return lambda e: session.run(["y"], feed)
