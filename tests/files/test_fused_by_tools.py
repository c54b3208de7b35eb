"""Files whose operators a tool fused across modules: what it fused is wording, a change is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from onnxruntime.transformers.optimizer import optimize_model
from torch import nn

from pytest_htp.compare.policy import Policy
from pytest_htp.files.arithmetic import same_together
from pytest_htp.files.compare import compare_files
from pytest_htp.files.load import load_onnx
from pytest_htp.files.modules import read_modules
from pytest_htp.files.side import Here
from pytest_htp.format.paths import expand_pattern
from pytest_htp.tagging.coverage import Evidence
from pytest_htp.tagging.facts import GraphFacts
from tests.files.htp_pairs import ConvNet, save

# Its operators are new, which is told.
STATED = {"domain.added", "domain.removed", "exporter.wording"}


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.second = nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 16)
        self.norm = nn.LayerNorm(16)
        self.residual = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed = self.second(self.act(self.first(x)))
        return self.norm(x + mixed if self.residual else mixed)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        self.blocks = nn.Sequential(Mixer(), Mixer())

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.blocks(self.embedding(ids))


def net(change: Callable[[Net], object] = lambda net: None) -> Net:
    torch.manual_seed(0)
    made = Net()
    for parameter in made.parameters():  # none is 0 or equal to another, as of a trained model
        nn.init.normal_(parameter)
    change(made)
    return made


def extended(path: Path) -> Path:
    made = path.with_name(f"extended_{path.name}")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(made)
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return made


def for_transformers(path: Path) -> Path:
    made = path.with_name(f"fused_{path.name}")
    optimize_model(str(path), model_type="bert", opt_level=0).save_model_to_file(str(made))
    return made


def compared(old: Path, new: Path) -> dict[str, set[str]]:
    """Code → modules."""
    found: dict[str, set[str]] = {}
    for finding in compare_files(load_onnx(str(old)), load_onnx(str(new)), Policy()).comparison.findings:
        found.setdefault(finding.code, set()).update(expand_pattern(finding.module or ""))
    return found


TOOLS = [extended, for_transformers]


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_tool_fused_is_wording(tool: Callable[[Path], Path], dynamo: bool, tmp_path: Path) -> None:
    path = save(net(), tmp_path / "net.onnx", dynamo=dynamo)
    fused = tool(path)
    operators = {node.op_type for node in onnx.load(fused).graph.node}
    assert operators & {"SkipLayerNormalization", "BiasGelu"}, operators
    assert compared(path, fused).keys() <= STATED
    assert compared(fused, path).keys() <= STATED


def _no_residual(net: Net) -> None:
    net.blocks[1].residual = False


def _another_activation(net: Net) -> None:
    net.blocks[1].act = nn.Tanh()


def _no_norm(net: Net) -> None:
    net.blocks[1].norm = nn.Identity()


def _one_more(net: Net) -> None:
    net.blocks[1].second = nn.Sequential(net.blocks[1].second, nn.Sigmoid())


def _no_bias(net: Net) -> None:
    net.blocks[1].second.bias = None


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(net(), tmp_path_factory.mktemp("net") / "net.onnx", dynamo=True)


@pytest.mark.parametrize("change", [_no_residual, _another_activation, _no_norm, _one_more, _no_bias])
def test_a_change_shows_through_what_a_tool_fused(
    change: Callable[[Net], object], unchanged: Path, tmp_path: Path
) -> None:
    changed = save(net(change), tmp_path / "changed.onnx", dynamo=True)
    for tool in TOOLS:
        found = compared(unchanged, tool(changed))
        named = set().union(*(paths for code, paths in found.items() if code not in STATED))
        assert any(path.startswith("blocks.1") for path in named), found
        assert not any(path.startswith("blocks.0") for path in named), found


def test_an_activation_that_a_convolution_took_in_is_still_that_one(tmp_path: Path) -> None:
    def fused(activation: nn.Module) -> Path:
        torch.manual_seed(0)
        model = ConvNet()
        model.stem[2] = activation
        return extended(save(model, tmp_path / f"{type(activation).__name__}.onnx", dynamo=True))

    same, other = fused(nn.ReLU()), fused(nn.Sigmoid())
    assert {node.op_type for node in onnx.load(other).graph.node} >= {"FusedConv"}
    assert compared(tmp_path / "ReLU.onnx", same).keys() <= STATED
    assert any("stem" in path for path in compared(tmp_path / "ReLU.onnx", other)["ops.changed"])


def graph(text: str, *paths: str, fused: tuple[str, ...] = ()) -> GraphFacts:
    head = '<ir_version: 8, opset_import: ["" : 18, "com.microsoft" : 1]> g (float[4] x, float[4] w) => (float[4] y) '
    facts = GraphFacts(ir.serde.deserialize_model(onnx.parser.parse_model(head + text)), {})
    for node, path in zip(facts.nodes, paths, strict=True):
        node.decide(Evidence.FUSED if fused else Evidence.DIRECT, path, "test", fused)
    return facts


@pytest.mark.parametrize(
    ("bias", "origins", "same"),
    [
        (", w", ("act", "dense", "norm", "skip"), True),
        ("", ("act", "dense", "norm", "skip"), False),  # one addition less
        (", w", ("norm", "skip"), False),  # and of these two, one more
    ],
)
def test_additions_that_a_fused_operator_took_in_count(bias: str, origins: tuple[str, ...], same: bool) -> None:
    text = "{ a = Add(x, w) b = Add(a, x) y = LayerNormalization(b, w) }"
    old = graph(text, "dense", "skip", "norm").nodes
    text = f"{{ y = com.microsoft.SkipLayerNormalization(x, x, w, w{bias}) }}"
    new = graph(text, "skip", fused=origins).nodes
    assert same_together(old, new)("skip") is same


@pytest.mark.parametrize("attribute", ["", "<activation = 1>"])
def test_a_fused_convolution_that_does_not_say_its_activation_is_another_operator(attribute: str) -> None:
    old = graph("{ a = Conv(x, w) y = Relu(a) }", "conv", "act").nodes
    new = graph(f"{{ y = com.microsoft.FusedConv{attribute}(x, w) }}", "conv", fused=("act", "conv")).nodes
    assert not same_together(old, new)("conv")


def test_what_is_fused_is_of_the_module_it_stands_in_too() -> None:
    old = graph("{ a = Add(x, w) y = Gelu(a) }", "dense", "act").nodes
    new = graph("{ y = com.microsoft.BiasGelu(x, w) }", "around", fused=("act", "dense")).nodes
    told = same_together(old, new)
    assert [told(path) for path in ("around", "dense", "act")] == [True, True, True]


@pytest.mark.parametrize(("unnamed", "optimized"), [(1, False), (2, True)])
def test_a_file_of_which_a_tenth_has_no_names_was_rewritten(unnamed: int, optimized: bool, tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 18]> g (float[4] x) => (float[4] v15) { v0 = Neg(x) '
        + " ".join(f"v{number + 1} = Neg(v{number})" for number in range(15))
        + " }"
    )
    for number, node in enumerate(model.graph.node):
        node.name = "" if number < unnamed else f"/layers.{number}/Neg"
    onnx.save(model, tmp_path / "m.onnx")
    assert Here(load_onnx(str(tmp_path / "m.onnx"))).known.optimized is optimized


@pytest.mark.parametrize(("name", "optimized"), [("/act/Gelu", False), ("", True)])
def test_an_operator_of_onnx_runtime_that_an_exporter_named_is_no_tools(
    name: str, optimized: bool, tmp_path: Path
) -> None:
    domains = '<ir_version: 8, opset_import: ["" : 18, "com.microsoft" : 1]>'
    steps = " ".join(f"v{number + 1} = Neg(v{number})" for number in range(15))
    model = onnx.parser.parse_model(
        f"{domains} g (float[4] x) => (float[4] v15) {{ v0 = com.microsoft.Gelu(x) {steps} }}"
    )
    for number, node in enumerate(model.graph.node):
        node.name = f"/layers.{number}/Neg" if number else name
    onnx.save(model, tmp_path / "m.onnx")
    here = Here(load_onnx(str(tmp_path / "m.onnx")), read_modules(load_onnx(str(tmp_path / "m.onnx")).model))
    assert here.known.optimized is optimized
