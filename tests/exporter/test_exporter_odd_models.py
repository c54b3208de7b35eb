"""Models whose forward does more than compute: state, grad modes, hooks, compilers, scripts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

from fixtures import config_dir
from pytest_htp import HTPExport, HTPExporter, HTPExportError, HTPExportStep, compare_exports
from pytest_htp.format.serialize import dumps

X = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def same_weights() -> None:
    torch.manual_seed(0)


def linear() -> nn.Linear:
    return nn.Linear(4, 4)


def export(folder: Path, model: Any, inputs: Any = X, name: str = "m.onnx", **options: Any) -> HTPExport:
    return HTPExporter(verbose=False, **options).export(model, inputs, folder / name)


class Region(nn.Module):
    """Calls its backbone under another mode, as frozen backbones are."""

    def __init__(self, mode: Callable[[], AbstractContextManager[Any]]) -> None:
        super().__init__()
        self.mode = mode
        self.backbone = nn.Sequential(linear(), nn.ReLU(), nn.LayerNorm(4))
        self.head = linear()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with self.mode():
            features = self.backbone(x)
        return self.head(features)


@pytest.mark.parametrize("outer", [nullcontext, torch.no_grad])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, lambda: torch.autocast("cpu", enabled=False)])
def test_modules_called_in_another_mode_are_tagged_as_themselves(
    tmp_path: Path, mode: Callable[[], Any], outer: Callable[[], Any]
) -> None:
    with outer():
        made = export(tmp_path, Region(mode))
    assert list(made.tags.values()) == [
        "/Region/Sequential.backbone/Linear.0",
        "/Region/Sequential.backbone/ReLU.1",
        "/Region/Sequential.backbone/LayerNorm.2",
        "/Region/Linear.head",
    ]
    assert made.coverage.direct_coverage == 100
    assert made.attestation["contradicted"] == []


class Steps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = linear()
        self.register_buffer("steps", torch.zeros(1))
        self.seen: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += 1
        self.seen.append(1)
        return self.inner(x) * self.steps * len(self.seen)


def test_what_watching_leaves_in_a_model_is_not_exported(tmp_path: Path) -> None:
    model = Steps()
    assert export(tmp_path, model).parity.failed == []
    assert model.steps.item() == 0
    assert model.seen == []


class Inferring(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = linear(), linear()

    @torch.inference_mode()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x))


def test_inference_mode_around_inside_or_before(tmp_path: Path) -> None:
    with torch.inference_mode():
        around, made_before = export(tmp_path, Inferring()), X.clone()
    before = export(tmp_path, nn.Sequential(linear(), linear()), made_before)
    for made in (around, before, export(tmp_path, Inferring())):
        assert made.attestation["attested"] == 2
        assert made.parity.failed == []


class Part(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = linear()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.inner(x)) + x


class Branches(nn.Module):
    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit
        self.p, self.q = Part(), Part()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > self.limit, lambda x: self.p(x) * 2, lambda x: self.q(x) * 3, (x,))


def test_the_branch_that_runs_shows_neither_in_tags_nor_in_the_record(tmp_path: Path) -> None:
    made = [export(tmp_path, Branches(-0.5), inputs) for inputs in (X.abs(), -X.abs())]
    assert made[0].tags == made[1].tags
    assert "/Branches/Part.p/Linear.inner" in made[0].tags.values()
    assert made[0].record == made[1].record


class Twice(nn.Module):
    def __init__(self, *, longer: bool) -> None:
        super().__init__()
        self.first = linear() if longer else None
        self.last = linear()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.last(x if self.first is None else self.first(x))
        return y, y


def test_names_made_up_for_aliases_are_nobodys_contract(tmp_path: Path) -> None:
    short, longer = (export(tmp_path, Twice(longer=longer)).record for longer in (False, True))
    assert [row["name"] for row in short["outputs"]] == ["output.0", "output.1"]
    codes = [finding["code"] for finding in compare_exports(short, longer).findings]
    assert codes == ["weights.grown", "flops.grown", "module.added"]


class Compiled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wrapped = torch.compile(Part(), backend="eager")
        self.within = Part()
        self.within.compile(backend="eager")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.within(self.wrapped(x))


def test_compiled_modules_keep_their_own_operators(tmp_path: Path) -> None:
    model = Compiled()
    before = model.wrapped.forward, model.within._compiled_call_impl
    made = export(tmp_path, model)
    part = "/Compiled/OptimizedModule.wrapped/Part._orig_mod"
    other = "/Compiled/Part.within"
    assert list(made.tags.values()) == [f"{part}/Linear.inner", part, part, f"{other}/Linear.inner", other, other]
    assert made.attestation["contradicted"] == []
    assert (model.wrapped.forward, model.within._compiled_call_impl) == before


def test_a_compiled_root(tmp_path: Path) -> None:
    made = export(tmp_path, torch.compile(Part(), backend="eager"))
    assert made.coverage.direct_coverage == 100
    assert set(made.tags.values()) == {
        "/OptimizedModule/Part._orig_mod/Linear.inner",
        "/OptimizedModule/Part._orig_mod",
    }


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_traced_submodule_gets_its_training_flag_back(tmp_path: Path) -> None:
    model = nn.Sequential(torch.jit.trace(linear(), X), nn.ReLU()).train()
    export(tmp_path, model)
    assert model[0].training


def test_a_hook_that_changes_the_arguments_contradicts_nobody(tmp_path: Path) -> None:
    model = nn.Sequential(linear(), linear(), linear())
    model[1].register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    made = export(tmp_path, model)
    assert made.attestation["contradicted"] == []
    assert made.attestation["attested"] == 3


class Differs(nn.Module):
    """Passes its input on, except in an export."""

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.change(x) if torch.compiler.is_exporting() else x


def test_the_divergence_follows_the_users_tolerance(tmp_path: Path) -> None:
    model = nn.Sequential(linear(), Differs(lambda x: x + 1e-6), linear())
    assert export(tmp_path, model).parity.first_divergence is None
    strict = export(tmp_path, model, rtol=0.0, atol=2e-7).parity
    assert strict.failed
    assert strict.first_divergence is not None
    assert strict.first_divergence.module == "1"


def test_a_module_is_said_to_differ_where_it_diverges(tmp_path: Path) -> None:
    parity = export(tmp_path, nn.Sequential(linear(), Differs(lambda x: x * 1.001), linear())).parity
    assert parity.first_divergence is not None
    assert parity.first_divergence.module == "1"
    assert parity.modules["1"].max_abs == parity.first_divergence.max_abs


def test_files_that_can_t_be_written_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "m_htp_metadata.json").mkdir()
    with pytest.raises(HTPExportError, match="can't write the export's metadata") as info:
        export(tmp_path, linear())
    assert info.value.step is HTPExportStep.COMPLETE
    assert not (tmp_path / "m.onnx").exists()


def test_inputs_are_told_where_the_model_refuses_them(tmp_path: Path) -> None:
    with pytest.raises(HTPExportError, match=r"It was called with input FLOAT \[2, 5\]\."):
        export(tmp_path, linear(), torch.randn(2, 5))


def test_weights_of_an_earlier_model_do_not_stay(tmp_path: Path) -> None:
    export(tmp_path, nn.Linear(3000, 3000), torch.randn(1, 3000), parity=False)
    assert (tmp_path / "m.onnx.data").exists()
    export(tmp_path, linear(), parity=False)
    assert {path.name for path in tmp_path.iterdir() if "htp" not in path.name} == {"m.onnx"}


def test_exports_in_threads(tmp_path: Path) -> None:
    made: list[HTPExport] = []
    threads = [
        threading.Thread(target=lambda name=f"{n}.onnx": made.append(export(tmp_path, Part(), name=name)))
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [export.coverage.coverage for export in made] == [100] * 3


class Upcast(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.embed = nn.Embedding(50, 64)
        self.layers = nn.ModuleList([nn.Linear(64, 64) for _ in range(4)])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        for layer in self.layers:
            x = x + torch.relu(layer(x))
        return x.to(self.dtype)


@pytest.mark.parametrize(
    "model", [lambda: Upcast(torch.float32).half(), lambda: Upcast(torch.float64)], ids=["half-float", "float-double"]
)
def test_casting_up_brings_no_digits_back(tmp_path: Path, model: Callable[[], nn.Module]) -> None:
    parity = export(tmp_path, model(), torch.arange(18).reshape(2, 9)).parity
    assert parity.failed == []
    assert parity.first_divergence is None


def test_a_structure_opens_everywhere(tmp_path: Path) -> None:
    made = export(tmp_path, lambda: nn.Linear(300, 300), torch.randn(1, 300), weights="none", parity=False)
    assert made.onnx_path.stat().st_size < 10_000
    proto = onnx.load(made.onnx_path)
    assert {tuple(tensor.dims) for tensor in proto.graph.initializer} == {(300, 300), (300,)}
    loaded = ir.load(made.onnx_path)
    assert loaded.metadata_props["pytest-htp.structure_only"] == "true"
    assert {str(value.dtype) for value in loaded.graph.initializers.values()} == {"FLOAT"}


@pytest.mark.parametrize("name", ["vit", pytest.param("bert", marks=pytest.mark.slow)])
def test_a_batch_of_one_leaves_its_axis_dynamic(tmp_path: Path, name: str) -> None:
    ids = torch.arange(14).reshape(2, 7)
    inputs = {"pixel_values": torch.rand(2, 3, 32, 32)} if name == "vit" else {"input_ids": ids}
    one = {key: value[:1] for key, value in inputs.items()}
    records = [export(tmp_path, config_dir(name), given, dynamic=True).record for given in (inputs, one)]
    assert dumps(records[0]) == dumps(records[1])
    assert records[1]["inputs"][0]["dims"][0] == "d0"
