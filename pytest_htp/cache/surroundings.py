"""What an export depends on beside the model: versions, environment variables, settings of torch and Python."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch.utils._config_module import _UNSET_SENTINEL

from pytest_htp.cache import Uncertain

# Trees whose files are read: people work on the exporter in place, which changes no version.
_READ_WHOLE = ("pytest_htp", "onnxscript", "onnx_ir", "transformers.exporters", "torch.onnx", "torch.export",
               "torch._export", "torch._decomp", "torch._refs", "torch.fx")  # fmt: skip
_ALWAYS = ("torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "onnxruntime-qnn", "openvino", "numpy",
           "transformers", "sympy", "ml-dtypes", "protobuf")  # fmt: skip
_VARIABLES = re.compile(
    r"^(TORCH|PYTORCH|ATEN|AOT|FUNCTORCH|ONNX|ORT|TRANSFORMERS|HF|USE|CUDA|NVIDIA|CUBLAS|OMP|MKL|KMP|DNNL|ONEDNN|OPENBLAS"
    r"|QNN|OPENVINO|OV|PYTHONOPTIMIZE|XLA)_?"
)
_PLACES = re.compile(r"(HOME|DIR|DIRECTORY|PATH|CACHE|CACHE_ROOT|TOKEN|ENDPOINT|FILE)$")
_OF_TORCH = ("Meta", "CUDA", "MPS", "XPU", "HPU", "MTIA", "PrivateUse1")
_CONFIGS = ("torch._dynamo.config", "torch._functorch.config", "torch.fx.experimental._config", "torch._export.config",
            "torch._inductor.config")  # fmt: skip


# What torch is set to: values, and functions that return them.
_READ = ("backends.cudnn.enabled", "backends.cudnn.benchmark", "backends.cudnn.deterministic",
         "backends.mkldnn.enabled",
         "backends.mkldnn.fp32_precision", "backends.opt_einsum.enabled", "backends.opt_einsum.strategy",
         "backends.quantized.engine", "utils.deterministic.fill_uninitialized_memory",
         "nn.modules.module._EXTRA_STATE_KEY_SUFFIX", "nn.utils.parametrize._cache_enabled")  # fmt: skip
_ASKED = ("get_default_dtype", "get_default_device", "is_grad_enabled", "is_inference_mode_enabled",
          "is_anomaly_enabled", "are_deterministic_algorithms_enabled", "is_deterministic_algorithms_warn_only_enabled",
          "get_float32_matmul_precision", "backends.mha.get_fastpath_enabled", "backends.cuda.flash_sdp_enabled",
          "backends.cuda.mem_efficient_sdp_enabled", "backends.cuda.math_sdp_enabled",
          "backends.cuda.cudnn_sdp_enabled", "__future__.get_overwrite_module_params_on_conversion",
          "__future__.get_swap_module_params_on_conversion")  # fmt: skip


def versions(packages: set[str]) -> dict[str, str]:
    """Ingredients: Python and every distribution concerned, by version; trees of the exporter by their files.

    Args:
        packages: importable names of further packages that took part.
    """
    names = dict.fromkeys(_ALWAYS)
    owners = _owners()
    for package in sorted(packages):
        names |= dict.fromkeys(owners.get(package, ()))
    found = {name: known for name in names if (known := _version(name)) is not None}
    found["Python"] = f"{platform.python_implementation()} {platform.python_version()} -O{sys.flags.optimize}"
    found["machine"] = f"{platform.system()} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return found | {f"files of {tree}": digest for tree, digest in _trees().items()}


@lru_cache(maxsize=1024)
def _version(name: str) -> str | None:
    """Read once: what is loaded stays loaded, whatever is installed meanwhile."""
    with suppress(PackageNotFoundError):
        return version(name)
    return None


@lru_cache(maxsize=1)
def _owners() -> dict[str, list[str]]:
    return dict(packages_distributions())


@lru_cache(maxsize=1)
def _trees() -> dict[str, str]:
    return {tree: digest for tree in _READ_WHOLE if (digest := _tree(tree))}


def _tree(name: str) -> str:
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin:
        return ""
    root = Path(spec.origin).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()[:32]


def source_of(module: str) -> str:
    """Digest of the Python files of a module that is not loaded here: of its whole package, or of its only file.

    Raises:
        Uncertain: it has no such files.
    """
    top = module.partition(".")[0]
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        raise Uncertain(f"{module} has no source that could be read")
    if spec.submodule_search_locations is not None:
        return _trees().get(top) or _tree(top)
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()[:32]


def variables(own: set[str], of_libraries: set[str]) -> dict[str, str]:
    """Ingredients: environment variables that are set and that somebody reads.

    Args:
        own: those that the user's code reads.
        of_libraries: those that the code of libraries reads, of which places on this machine don't count.
    """
    return {
        f"environment variable {name}": hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        for name, value in sorted(os.environ.items())
        if name in own or ((name in of_libraries or _VARIABLES.match(name)) and not _PLACES.search(name))
    }


def settings() -> dict[str, str]:
    """Ingredients: what torch and Python are set to.

    Raises:
        Uncertain: a mode is active that may change any operation.
    """
    overrides: Any = torch.overrides
    dispatch = torch.utils._python_dispatch._get_current_dispatch_mode_stack()
    if overrides._get_current_function_mode_stack() or dispatch:
        raise Uncertain("a TorchFunctionMode or TorchDispatchMode is active")
    other = sorted(name for name in torch.library._impls if _is_other_code(name))
    if other:
        raise Uncertain(f"an operator of PyTorch's own was given other code ({other[0]})")
    return {f"setting {name}": str(value) for name, value in _settings()}


@lru_cache(maxsize=65_536)
def _is_other_code(registered: str) -> bool:
    """Whether ``aten/relu/CPU`` may change an export: torch itself registers shapes, and kernels of other devices."""
    namespace, _, key = registered.partition("/")
    return namespace == "aten" and key.rpartition("/")[2] not in _OF_TORCH


def _settings() -> Iterator[tuple[str, object]]:
    yield from ((f"torch.{name}", attrgetter(name)(torch)) for name in _READ)
    yield from ((f"torch.{name}", attrgetter(name)(torch)()) for name in _ASKED)
    yield "flush denormal", float(torch.tensor(1e-40).mul(1)) == 0
    for kind in ("cpu", "cuda"):
        if torch.is_autocast_enabled(kind):
            yield f"autocast on {kind}", torch.get_autocast_dtype(kind)
    for name in _CONFIGS:
        config: Any = sys.modules.get(name)
        if config is not None:
            entries = ((key, entry, entry.user_override.get()) for key, entry in config._config.items())
            yield from (
                (f"{name}.{key}", value)
                for key, entry, value in entries
                if value is not _UNSET_SENTINEL and repr(value) != repr(entry.default)
            )
    errors = [
        (getattr(message, "pattern", message), str(kind), getattr(module, "pattern", module), line)
        for action, message, kind, module, line in warnings.filters
        if action == "error"
    ]
    yield "warnings that are errors", sorted(map(repr, errors))


def global_hooks() -> list[object]:
    """Hooks that torch runs for every module."""
    module = torch.nn.modules.module
    names = sorted(name for name in vars(module) if name.startswith("_global_") and "hooks" in name)
    return [(name, list(vars(module)[name].values())) for name in names if hasattr(vars(module)[name], "values")]
