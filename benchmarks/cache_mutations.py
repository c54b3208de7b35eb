"""Stale hits: a thousand changes of what an export depends on, and changes of what it does not depend on.

    python benchmarks/cache_mutations.py [--count 1000] [--seed 0]

Each change of ``KINDS`` must give another key than the one unchanged model has, each of ``IRRELEVANT`` the same. Each
of ``OWN`` changes one number in a model of its own; rebuilt with the same number it must be a hit, unless nobody can
tell its content. Nothing is exported: a cached export is taken by its key alone. Prints a row a kind; exits 1 on a
stale hit, or below 95% of hits where nothing relevant changed.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any
from unittest import mock

import onnxscript.function_libs.torch_lib.registration
import onnxscript.optimizer._constant_folding
import torch
import transformers
from _measure import ROOT
from torch import nn
from torch.onnx._internal.exporter import _core
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from pytest_htp.cache import Uncertain, surroundings
from pytest_htp.cache.request import Request
from pytest_htp.capture.models import resolve_model
from pytest_htp.exporter.options import ExportOptions

sys.path.insert(0, str(ROOT))

from tests.cache._sources import (
    NATIVE,
    NATIVE_NET,
    TOLD,
    TOLD_FILES,
    UNTOLD,
    UNTOLD_FILES,
    key_of_files,
    key_of_source,
)

SOURCE = """
import os
import torch
from torch import nn
import torch.nn.functional as F

SCALE = 1.5
TABLE = {"a": 1, "b": [2, 3]}
MODE = os.environ.get("MODE", "")

def helper(x, shift=0.25):
    return x * SCALE + shift

def closed(factor):
    def inner(x):
        return x * factor
    return inner

class Config:
    def __init__(self):
        self.width = 6
        self.names = ["q", "k"]

class Base(nn.Module):
    GAIN = 2.0

    @property
    def gain(self):
        return self.GAIN

    def finish(self, x):
        return helper(x) * self.gain

class Block(Base):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width)
        self.act = closed(0.5)

    def forward(self, x):
        if os.environ.get("FAST_PATH"):
            return x
        return self.finish(self.act(F.gelu(self.norm(self.linear(x)))))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.config = Config()
        self.blocks = nn.ModuleList(Block(self.config.width) for _ in range(3))
        self.register_buffer("table", torch.arange(6.0))
        self.first = nn.Parameter(torch.ones(2))
        self.second = nn.Parameter(torch.ones(2))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x + self.table * TABLE["a"] + self.first[0] - self.second[0]
"""


class Case:
    """The project of one change: its module as Python made it, the model, its inputs and options."""

    def __init__(self, text: str = SOURCE, folder: str = "first") -> None:
        self.module = ModuleType("bench_net")
        file = str(Path(tempfile.gettempdir()) / folder / "bench_net.py")
        self.module.__file__ = file
        sys.modules["bench_net"] = self.module
        exec(compile(text, file, "exec"), vars(self.module))
        torch.manual_seed(0)
        self.model: nn.Module = self.module.Net()
        self.inputs: Any = {"x": torch.ones(4, 6)}
        self.options: dict[str, Any] = {}

    def key(self) -> str:
        return _key(self.model, self.inputs, **self.options)


def _key(model: nn.Module, inputs: Any, **options: Any) -> str:
    return Request.of(resolve_model(model), inputs, ExportOptions.from_mapping(options)).key


Change = Callable[[Case, random.Random, ExitStack], None]


def _text(old: str, new: Callable[[random.Random], str]) -> Change:
    def change(case: Case, rng: random.Random, stack: ExitStack) -> None:
        assert old in SOURCE
        case.__init__(SOURCE.replace(old, new(rng), 1))  # type: ignore[misc]

    return change


def _number(rng: random.Random) -> float:
    return rng.uniform(3, 9)


def _weight(case: Case, rng: random.Random, stack: ExitStack) -> None:
    parameter = rng.choice([p for p in case.model.parameters() if p.numel()])
    parameter.data.view(-1)[rng.randrange(parameter.numel())] += _number(rng)


def _buffer(case: Case, rng: random.Random, stack: ExitStack) -> None:
    case.model.blocks[rng.randrange(3)].norm.running_mean[rng.randrange(6)] += _number(rng)  # type: ignore[union-attr, index, operator]


def _input(case: Case, rng: random.Random, stack: ExitStack) -> None:
    case.inputs["x"][rng.randrange(4), rng.randrange(6)] += _number(rng)


def _shape(case: Case, rng: random.Random, stack: ExitStack) -> None:
    case.inputs = {"x": torch.ones(rng.randrange(5, 99), 6)}


def _hook(case: Case, rng: random.Random, stack: ExitStack) -> None:
    factor = _number(rng)
    block = rng.choice(list(case.model.modules()))
    rng.choice([block.register_forward_hook, block.register_forward_pre_hook])(lambda *args: factor and None)


def _global_hook(case: Case, rng: random.Random, stack: ExitStack) -> None:
    factor = _number(rng)
    handle = nn.modules.module.register_module_forward_hook(lambda *args: factor and None)
    stack.callback(handle.remove)


def _attribute(case: Case, rng: random.Random, stack: ExitStack) -> None:
    norm: Any = case.model.blocks[rng.randrange(3)].norm  # type: ignore[union-attr, index]
    setattr(norm, rng.choice(["eps", "momentum"]), _number(rng))


def _config(case: Case, rng: random.Random, stack: ExitStack) -> None:
    rng.choice(
        [
            lambda: vars(case.model.config).update(width=_number(rng)),  # type: ignore[union-attr]
            lambda: case.model.config.names.append(str(rng.random())),
        ]
    )()  # type: ignore[union-attr]


def _patched_method(case: Case, rng: random.Random, stack: ExitStack) -> None:
    factor = _number(rng)
    case.module.Block.forward = lambda self, x: x * factor


def _patched_helper(case: Case, rng: random.Random, stack: ExitStack) -> None:
    factor = _number(rng)
    case.module.helper = lambda x: x + factor


def _instance_forward(case: Case, rng: random.Random, stack: ExitStack) -> None:
    factor = _number(rng)
    case.model.blocks[rng.randrange(3)].forward = lambda x: x - factor  # type: ignore[union-attr, index]


def _returning(value: float) -> Callable[..., float]:
    def replaced(*args: object, **kwargs: object) -> float:
        return value

    return replaced


def _library(case: Case, rng: random.Random, stack: ExitStack) -> None:
    factor = _number(rng)
    owner, name = rng.choice(
        [
            (nn.functional, "gelu"),
            (nn.Linear, "forward"),
            (torch.onnx, "export"),
            (torch.export, "export"),
            (torch.Tensor, "__add__"),
            (nn.BatchNorm1d, "_check_input_dim"),
        ]
    )
    stack.enter_context(mock.patch.object(owner, name, _returning(factor)))


def _library_from_text(case: Case, rng: random.Random, stack: ExitStack) -> None:
    """By code of no file: its names are its own, nobody's or the library's, and it may say that it is the original."""
    owner, name = rng.choice(
        [
            (torch.onnx, "export"), (torch.export, "export"), (torch.Tensor, "__add__"), (nn.Linear, "forward"),
            (_core, "_translate_fx_graph"), (torch.fx.Graph, "__init__"),
            (torch.export.Dim, "__init__"), (torch.onnx.ONNXProgram, "save"), (torch.fx, "Node"),
        ]
    )  # fmt: skip
    module = sys.modules[owner.__module__ if isinstance(owner, type) else owner.__name__]
    scope: dict[str, Any] = rng.choice(
        [{}, {"__name__": module.__name__}, {"__name__": "net"}, {**vars(module)}, vars(module)]
    )
    made: dict[str, Any] = {}
    method = f"def new(*args, **kwargs):\n    return {_number(rng)}\n"
    text = rng.choice([method, "class new:\n" + textwrap.indent(method, "    ")])
    exec(compile(text, rng.choice(["<string>", "<stdin>", "<frozen net>"]), "exec"), scope, made)
    if rng.random() < 0.5 and isinstance(made["new"], FunctionType):
        made["new"].__module__, made["new"].__qualname__ = (
            owner.__module__ if isinstance(owner, type) else "torch",
            name,
        )
    stack.enter_context(mock.patch.object(owner, name, made["new"]))


def _library_by_library(case: Case, rng: random.Random, stack: ExitStack) -> None:
    name = rng.choice(["silu", "relu", "elu", "selu", "mish", "softplus", "hardswish", "celu"])
    stack.enter_context(mock.patch.object(nn.functional, "gelu", getattr(nn.functional, name)))


def _code_of_library(case: Case, rng: random.Random, stack: ExitStack) -> None:
    """Put into the library's own function, in place: every name stands for what it stood for."""
    function = rng.choice(
        [nn.Linear.forward, nn.BatchNorm1d._check_input_dim, nn.functional.layer_norm, torch.onnx.export]
    )
    stack.callback(setattr, function, "__code__", function.__code__)
    function.__code__ = eval(f"lambda *args, **kwargs: {_number(rng)}").__code__


def _translation(case: Case, rng: random.Random, stack: ExitStack) -> None:
    """Of an operator to ONNX, registered as onnxscript's own are."""
    registry = onnxscript.function_libs.torch_lib.registration.default_registry
    stack.enter_context(mock.patch.dict(registry._registry))
    registry.register(_returning(_number(rng)), f"net::op{rng.randrange(99)}", complex=rng.random() < 0.5)


def _partial_in_library(case: Case, rng: random.Random, stack: ExitStack) -> None:
    """Of the library's own function: no code of the user's, and yet another function."""
    owner, name = rng.choice(
        [
            (nn.functional, "gelu"),
            (nn.functional, "linear"),
            (torch.onnx, "export"),
            (torch.export, "export"),
            (torch, "add"),
        ]
    )
    stack.enter_context(mock.patch.object(owner, name, functools.partial(getattr(owner, name), extra=_number(rng))))


def _mock_in_library(case: Case, rng: random.Random, stack: ExitStack) -> None:
    owner, name = rng.choice([(torch.onnx, "export"), (torch.export, "export"), (_core, "_translate_fx_graph")])
    stack.enter_context(mock.patch.object(owner, name, mock.Mock(return_value=_number(rng))))


def _renamed(case: Case, rng: random.Random, stack: ExitStack) -> None:
    """A public name of torch stands for another function of torch."""
    name, other = rng.sample(["relu", "sigmoid", "tanh", "exp", "sin", "cos", "abs", "neg", "erf", "floor"], 2)
    owner = rng.choice([torch, torch.Tensor])
    stack.enter_context(mock.patch.object(owner, name, getattr(owner, other)))


def _registry(case: Case, rng: random.Random, stack: ExitStack) -> None:
    factor = _number(rng)
    registry: dict[Any, Any] = rng.choice(
        [
            onnxscript.function_libs.torch_lib.registration.default_registry._registry,
            torch._decomp.global_decomposition_table["pre_autograd"],
            torch._decomp.global_decomposition_table["post_autograd"],
        ]
    )
    stack.enter_context(mock.patch.dict(registry, {f"aten::bench{rng.randrange(99)}": _returning(factor)}))


def _pytree(case: Case, rng: random.Random, stack: ExitStack) -> None:
    pytree = torch.utils._pytree
    box = type("Box", (), {})
    node = pytree.NodeDef(box, _returning(_number(rng)), _returning(_number(rng)), None)
    stack.enter_context(mock.patch.dict(pytree.SUPPORTED_NODES, {box: node}))


def _constant_of_exporter(case: Case, rng: random.Random, stack: ExitStack) -> None:
    folding = onnxscript.optimizer._constant_folding
    name = rng.choice(["DEFAULT_CONSTANT_FOLD_INPUT_SIZE_LIMIT", "DEFAULT_CONSTANT_FOLD_OUTPUT_SIZE_LIMIT"])
    stack.enter_context(mock.patch.object(folding, name, rng.randrange(1, 512)))


def _option(case: Case, rng: random.Random, stack: ExitStack) -> None:
    case.options = rng.choice([
        {"opset_version": rng.randrange(18, 24)}, {"dynamic": True}, {"optimize": False}, {"parity": False},
        {"rtol": _number(rng)}, {"atol": _number(rng)}, {"seed": rng.randrange(1, 9999)}, {"external_data": True},
        {"tag_namespace": f"n{rng.randrange(999)}"}, {"exporter": "torch"}, {"embed_hierarchy_attributes": False},
        {"input_names": [f"i{rng.randrange(999)}"]}, {"parity_inputs": [{"x": torch.rand(2, 6)}]},
        {"dynamic_shapes": {"x": {0: f"d{rng.randrange(999)}"}}}, {"config": {"max_tree_depth": rng.randrange(1, 99)}},
    ])  # fmt: skip


def _stage(case: Case, rng: random.Random, stack: ExitStack) -> None:
    case.options = {"stages": rng.sample(["ort:basic", "ort:extended", "fp16", "int8:dynamic"], rng.randrange(1, 4))}


def _target(case: Case, rng: random.Random, stack: ExitStack) -> None:
    case.options = {"targets": {"openvino": {"device": f"D{rng.randrange(9999)}"}}}


def _variable(case: Case, rng: random.Random, stack: ExitStack) -> None:
    name = rng.choice(["TORCH_LOGS", "PYTORCH_JIT", "ONNX_X", "TRANSFORMERS_VERBOSITY", "FAST_PATH", "TORCHDYNAMO_X"])
    stack.enter_context(mock.patch.dict(os.environ, {name: str(rng.random())}))


def _setting(case: Case, rng: random.Random, stack: ExitStack) -> None:
    choices: list[tuple[Callable[[Any], Any], Any, Any]] = [
        (torch.set_default_dtype, torch.float64, torch.float32),
        (torch.set_float32_matmul_precision, rng.choice(["high", "medium"]), "highest"),
        (torch.use_deterministic_algorithms, True, False),
        (torch.backends.mha.set_fastpath_enabled, False, True),
        (torch.set_grad_enabled, False, True),
        (torch.backends.cuda.enable_flash_sdp, False, True),
    ]
    switch, value, before = rng.choice(choices)
    stack.callback(switch, before)
    switch(value)


def _tied(case: Case, rng: random.Random, stack: ExitStack) -> None:
    case.model.second = case.model.first  # equal values before, the same tensor now


def _requires_grad(case: Case, rng: random.Random, stack: ExitStack) -> None:
    rng.choice(list(case.model.parameters())).requires_grad_(False)


def _dtype(case: Case, rng: random.Random, stack: ExitStack) -> None:
    rng.choice([case.model.double, case.model.half, case.model.bfloat16])()


def _submodule(case: Case, rng: random.Random, stack: ExitStack) -> None:
    case.model.blocks[rng.randrange(3)].norm = rng.choice(
        [nn.Identity(), nn.LayerNorm(6), nn.Dropout(_number(rng) / 10)]
    )  # type: ignore[union-attr, index]


def _version(case: Case, rng: random.Random, stack: ExitStack) -> None:
    name, found = rng.choice(["torch", "onnxscript", "onnx", "onnx-ir", "onnxruntime", "numpy"]), surroundings._version
    changed = f"{rng.randrange(99)}.{rng.randrange(99)}"
    stack.enter_context(
        mock.patch.object(surroundings, "_version", lambda asked: changed if asked == name else found(asked))
    )


KINDS: dict[str, Change] = {
    "code of forward": _text("return x + self.table", lambda rng: f"return x * {_number(rng)} + self.table"),
    "code of an inherited method": _text("helper(x) * self.gain", lambda rng: f"helper(x) * {_number(rng)}"),
    "code of a helper": _text("x * SCALE + shift", lambda rng: f"x * SCALE - {_number(rng)}"),
    "default argument": _text("shift=0.25", lambda rng: f"shift={_number(rng)}"),
    "global constant": _text("SCALE = 1.5", lambda rng: f"SCALE = {_number(rng)}"),
    "global container": _text('"a": 1', lambda rng: f'"a": {_number(rng)}'),
    "class attribute": _text("GAIN = 2.0", lambda rng: f"GAIN = {_number(rng)}"),
    "property": _text("return self.GAIN", lambda rng: f"return self.GAIN * {_number(rng)}"),
    "closure": _text("closed(0.5)", lambda rng: f"closed({_number(rng)})"),
    "weight": _weight, "buffer": _buffer, "input value": _input, "input shape": _shape, "hook": _hook,
    "hook for all modules": _global_hook, "attribute of a module": _attribute, "config": _config,
    "patched method": _patched_method, "patched helper": _patched_helper, "patched instance": _instance_forward,
    "patched library": _library, "library patched by itself": _library_by_library,
    "library patched from text": _library_from_text, "code of a library's function": _code_of_library,
    "registered translation": _translation,
    "partial in the library": _partial_in_library,
    "mock in the library": _mock_in_library, "other function of torch": _renamed, "registry": _registry,
    "pytree": _pytree, "constant of the exporter": _constant_of_exporter, "option": _option,
    "stage": _stage, "target": _target, "environment variable": _variable, "setting of torch": _setting,
    "tied parameters": _tied, "requires_grad": _requires_grad, "dtype": _dtype, "submodule": _submodule,
    "version": _version,
}  # fmt: skip


Own = Callable[[float], str]


def _native(number: float) -> str:
    """A module of the user's own, compiled anew."""
    with tempfile.TemporaryDirectory() as temporary, mock.patch.object(sys, "path", [temporary, *sys.path]):
        source = Path(temporary, "benchnative.c")
        source.write_text(NATIVE.replace("VALUE", str(number)))
        include = sysconfig.get_paths()["include"]
        library = source.with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
        subprocess.run(["cc", "-shared", "-fPIC", f"-I{include}", str(source), "-o", str(library)], check=True)
        sys.modules.pop("benchnative", None)
        importlib.invalidate_caches()
        return key_of_source(NATIVE_NET, number)


def _attention(number: float) -> str:
    """A table of transformers' gives another function, of transformers itself."""
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "hidden_size": 8}
    torch.manual_seed(0)
    model = transformers.BertModel(transformers.BertConfig(vocab_size=9, **sizes))
    table = ALL_ATTENTION_FUNCTIONS._global_mapping
    new = functools.partial(table["sdpa"], scaling=number) if number != UNCHANGED else table["sdpa"]
    with mock.patch.dict(table, {"sdpa": new}):
        return _key(model, {"input_ids": torch.ones(1, 4, dtype=torch.int64)})


UNCHANGED = 1.25
OWN: dict[str, Own] = {
    **{kind: functools.partial(key_of_source, text) for kind, text in (TOLD | UNTOLD).items()},
    **{kind: functools.partial(key_of_files, files) for kind, files in (TOLD_FILES | UNTOLD_FILES).items()},
    "attention of a library": _attention,
    **({"native module": _native} if shutil.which("cc") else {}),
}
NEVER_HITS = {*UNTOLD, *UNTOLD_FILES}


def _comment(case: Case, rng: random.Random, stack: ExitStack) -> None:
    lines = SOURCE.splitlines()
    place = rng.choice([i for i, line in enumerate(lines) if not line.startswith(" ")])
    lines.insert(place, f"# comment {rng.random()}")
    case.__init__("\n".join(lines))  # type: ignore[misc]


def _unused(case: Case, rng: random.Random, stack: ExitStack) -> None:
    case.__init__(f"{SOURCE}\ndef unused_{rng.randrange(9999)}():\n    return {rng.random()}\n")  # type: ignore[misc]


def _folder(case: Case, rng: random.Random, stack: ExitStack) -> None:
    case.__init__(SOURCE, folder=f"machine{rng.randrange(9999)}/project")  # type: ignore[misc]


def _cwd(case: Case, rng: random.Random, stack: ExitStack) -> None:
    before = Path.cwd()
    stack.callback(os.chdir, before)
    os.chdir(rng.choice(["/", tempfile.gettempdir()]))


def _order(case: Case, rng: random.Random, stack: ExitStack) -> None:
    other = Case.__new__(Case)
    other.__init__(SOURCE.replace("range(3)", f"range({rng.randrange(1, 3)})"))  # type: ignore[misc]
    other.key()
    case.__init__(SOURCE)  # type: ignore[misc]


def _other_variable(case: Case, rng: random.Random, stack: ExitStack) -> None:
    stack.enter_context(mock.patch.dict(os.environ, {f"BUILD_{rng.randrange(9999)}": str(rng.random())}))


def _chance(case: Case, rng: random.Random, stack: ExitStack) -> None:
    torch.manual_seed(rng.randrange(9999))


IRRELEVANT: dict[str, Change] = {
    "comment elsewhere": _comment, "unused function": _unused, "other folder": _folder, "working directory": _cwd,
    "other models before": _order, "other variable": _other_variable, "state of the generators": _chance,
}  # fmt: skip


@contextmanager
def _changed(change: Change, rng: random.Random) -> Iterator[Case]:
    with ExitStack() as stack:
        case = Case()
        change(case, rng, stack)
        yield case


def run(count: int, seed: int, kinds: dict[str, Change]) -> tuple[Counter[str], Counter[str]]:
    """How often each kind was tried, and how often its key was that of the unchanged request."""
    rng = random.Random(seed)
    unchanged = Case().key()
    tried: Counter[str] = Counter()
    same: Counter[str] = Counter()
    for position in range(count):
        kind = list(kinds)[position % len(kinds)]
        with _changed(kinds[kind], rng) as case:
            tried[kind] += 1
            same[kind] += _key_or_none(case.key) == unchanged
    return tried, same


def run_own(count: int, seed: int) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """As :func:`run`, for ``OWN``; and how often each kind's key was the same when it was built again."""
    rng = random.Random(seed)
    tried: Counter[str] = Counter()
    same: Counter[str] = Counter()
    again: Counter[str] = Counter()
    for position in range(count):
        kind = list(OWN)[position % len(OWN)]
        tried[kind] += 1
        before, rebuilt, now = (
            _key_or_none(functools.partial(OWN[kind], number)) for number in (UNCHANGED, UNCHANGED, _number(rng))
        )
        same[kind] += before is not None and before == now
        again[kind] += before is not None and before == rebuilt
    return tried, same, again


def _key_or_none(key: Callable[[], str]) -> str | None:
    """None where the content can't be told: such a model is exported each time."""
    try:
        return key()
    except Uncertain:
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    others = arguments.count * len(KINDS) // (len(KINDS) + len(OWN))
    tried, stale = run(others, arguments.seed, KINDS)
    own, own_stale, rebuilt = run_own(arguments.count - others, arguments.seed)
    tried, stale = tried + own, Counter({**stale, **own_stale})
    for kind in tried:
        print(f"{kind:36} {tried[kind]:5} changes {stale[kind]:5} stale hits")
    print(f"{'all':36} {tried.total():5} changes {stale.total():5} stale hits, {len(tried)} kinds")
    asked, hits = run(arguments.count // 5, arguments.seed, IRRELEVANT)
    for kind in own.keys() - NEVER_HITS:
        asked["built again"] += own[kind]
        hits["built again"] += rebuilt[kind]
        if rebuilt[kind] < own[kind]:
            print(f"{kind:36} {own[kind]:5} built again {rebuilt[kind]:2} hits")
    for kind in asked:
        print(f"{kind:36} {asked[kind]:5} changes {hits[kind]:5} hits")
    share = 100 * hits.total() / asked.total()
    print(f"{'all irrelevant':36} {asked.total():5} changes {hits.total():5} hits ({share:.1f}%)")
    never = sum(rebuilt[kind] for kind in NEVER_HITS)
    print(f"{'can not be told, hit all the same':36} {never:5}")
    return int(stale.total() > 0 or share < 95)


if __name__ == "__main__":
    sys.exit(main())
