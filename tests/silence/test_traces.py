"""An export leaves the process as it was, whatever the model: all that a program can see of it is compared."""

from __future__ import annotations

import contextlib
import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.plain import MODELS
from pytest_htp import HTPExporter, HTPExportError
from pytest_htp.capture.models import resolve_model
from tests.silence._exports import ALL, config_dir


def of_torch() -> dict[str, Any]:
    return {
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "anomaly": torch.is_anomaly_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "random": torch.get_rng_state().numpy().tobytes(),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
        "mkldnn": torch.backends.mkldnn.enabled,
        "export": torch.onnx.export,
        "exporting": (torch.compiler.is_exporting(), torch.compiler.is_compiling(), torch.onnx.is_in_onnx_export()),
        "stance": torch._dynamo.eval_frame._stance.stance,
        "dynamo": {key: repr(value) for key, value in torch._dynamo.config.get_config_copy().items()},
        "print": repr(torch._tensor_str.PRINT_OPTS),
        "hooks": len(torch.nn.modules.module._global_forward_hooks),
        "tree types": dict.fromkeys(torch.utils._pytree.SUPPORTED_NODES, "registered"),
    }


def of_transformers() -> dict[str, Any]:
    import transformers
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    return {
        "attention": dict(ALL_ATTENTION_FUNCTIONS),
        "masks": dict(ALL_MASK_ATTENTION_FUNCTIONS),
        "verbosity": transformers.logging.get_verbosity(),
    }


def of_process() -> dict[str, Any]:
    return {
        "random": random.getstate(),
        "numpy": [str(part) for part in np.random.get_state()],
        "environment": dict(os.environ),
        "filters": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "path": list(sys.path),
        "folder": Path.cwd(),
        "limit": sys.getrecursionlimit(),
        "streams": (sys.stdout, sys.stderr),
        "hooks": (sys.excepthook, sys.displayhook, threading.excepthook, sys.gettrace(), sys.getprofile()),
        "root logger": (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        "loggers": {
            name: (logger.level, logger.propagate, logger.disabled, list(logger.handlers))
            for name, logger in sorted(logging.root.manager.loggerDict.items())
            if isinstance(logger, logging.Logger) and name.partition(".")[0] in ("torch", "transformers", "onnxscript")
        },
        "signals": {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)},
        "locale": locale.setlocale(locale.LC_ALL),
        "threads": sorted(thread.name for thread in threading.enumerate()),
    }


def of_model(model: torch.nn.Module) -> dict[str, Any]:
    modules = dict(model.named_modules())
    return {
        "classes": {path: type(module) for path, module in modules.items()},
        "training": {path: module.training for path, module in modules.items()},
        "attributes": {path: sorted(module.__dict__) for path, module in modules.items()},
        "hooks": {
            path: sum(len(held) for name, held in module.__dict__.items() if name.endswith("_hooks"))
            for path, module in modules.items()
        },
        "tensors": {name: (id(tensor), tensor._version) for name, tensor in model.state_dict(keep_vars=True).items()},
        "values": {name: tensor.clone().numpy().tobytes() for name, tensor in model.state_dict().items()},
        "gradients": {name: (tensor.requires_grad, tensor.grad) for name, tensor in model.named_parameters()},
    }


State = dict[str, dict[str, Any]]


def state(model: torch.nn.Module) -> State:
    return {"torch": of_torch(), "transformers": of_transformers(), "process": of_process(), "model": of_model(model)}


def differences(before: State, after: State) -> list[str]:
    return [
        f"{part}: {name}: {str(before[part][name])[:200]} -> {str(after[part][name])[:200]}"
        for part in before
        for name in before[part]
        if before[part][name] != after[part][name]
        and not (name in GROWING and before[part][name].items() <= after[part][name].items())
    ]


# What libraries add to when another part of them is imported, and offer no way to take back.
GROWING = ("loggers", "tree types")


def make(name: str) -> tuple[torch.nn.Module, Any]:
    if name in MODELS:
        return MODELS[name].make(), MODELS[name].inputs()
    return resolve_model(config_dir(name)).module, None


def export(model: torch.nn.Module, inputs: Any, folder: Path, **options: Any) -> None:
    HTPExporter(verbose=False, **options).export(model, inputs, folder / "model.onnx")


@pytest.fixture(scope="module", autouse=True)
def _what_the_first_export_does(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Libraries register loggers, trees and handlers when they are imported."""
    model, inputs = make("mlp")
    state(model)
    export(model, inputs, tmp_path_factory.mktemp("first"), stages=["ort:basic", "fp16"])


@contextlib.contextmanager
def unusual(seed: int) -> Iterator[None]:
    """A process whose settings are not the default ones, drawn from a seed."""
    draw = random.Random(seed)
    saved = torch.get_default_dtype(), torch.get_num_threads(), logging.root.level, logging.root.manager.disable
    filters, path, generators = list(warnings.filters), list(sys.path), (torch.get_rng_state(), random.getstate())
    fast, deterministic = torch.backends.mha.get_fastpath_enabled(), torch.are_deterministic_algorithms_enabled()
    try:
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        torch.set_num_threads(draw.choice([1, 2]))
        torch.use_deterministic_algorithms(draw.choice([True, False]), warn_only=True)
        torch.backends.mha.set_fastpath_enabled(draw.choice([True, False]))
        logging.root.setLevel(draw.choice([logging.DEBUG, logging.ERROR]))
        warnings.simplefilter(draw.choice(["ignore", "always"]))
        sys.path.append(f"nowhere-{seed}")
        os.environ["HTP_TEST_TRACE"] = str(seed)
        with torch.set_grad_enabled(draw.choice([True, False])):
            yield
    finally:
        torch.set_default_dtype(saved[0])
        torch.set_num_threads(saved[1])
        logging.root.setLevel(saved[2])
        logging.disable(saved[3])
        warnings.filters[:] = filters
        sys.path[:] = path
        torch.set_rng_state(generators[0])
        random.setstate(generators[1])
        torch.backends.mha.set_fastpath_enabled(fast)
        torch.use_deterministic_algorithms(deterministic)
        os.environ.pop("HTP_TEST_TRACE", None)


def leaves_no_trace(name: str, folder: Path, seed: int, **options: Any) -> None:
    model, inputs = make(name)
    with unusual(seed):
        before = state(model)
        export(model, inputs, folder, **options)
        after = state(model)
    assert differences(before, after) == []


@pytest.mark.parametrize(("name", "seed"), [("recurrent", 3), ("mlp", 4)])
def test_whatever_was_set_stays_set(name: str, seed: int, tmp_path: Path) -> None:
    leaves_no_trace(name, tmp_path, seed)


def test_another_default_dtype_stays(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2).double().eval()
    torch.set_default_dtype(torch.float64)
    try:
        before = state(model)
        export(model, (torch.ones(1, 3),), tmp_path)
        assert differences(before, state(model)) == []
    finally:
        torch.set_default_dtype(torch.float32)


class Odd(torch.nn.Module):
    """What a forward may do beside computing."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what
        self.linear = torch.nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        match self.what:
            case "prints":
                print("in forward")
            case "recurses":
                return self.forward(x)
            case "starts a thread":
                thread = threading.Thread(target=lambda: None)
                thread.start()
                thread.join()
            case "is interrupted":
                raise KeyboardInterrupt
            case "exits":
                raise SystemExit(3)
        return self.linear(x)


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("prints", None),
        ("recurses", HTPExportError),
        ("starts a thread", None),
        ("is interrupted", KeyboardInterrupt),
        ("exits", SystemExit),
    ],
)
def test_odd_forwards(tmp_path: Path, what: str, error: type[BaseException] | None) -> None:
    model = Odd(what)
    before = state(model)
    with contextlib.nullcontext() if error is None else pytest.raises(error):
        export(model, (torch.ones(1, 3),), tmp_path)
    assert (tmp_path / "model.onnx").exists() == (error is None)
    assert differences(before, state(model)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_every_bundled_model(name: str, tmp_path: Path) -> None:
    leaves_no_trace(name, tmp_path, zlib.crc32(name.encode()))
