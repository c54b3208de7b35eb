"""The words every room of the package shares: the eight steps, a module, the data of one export, options' values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, Literal

EngineName = Literal["auto", "transformers", "torch"]
Weights = Literal["real", "none"]
EVIDENCE = ("direct", "fused", "inferred", "none")
OrtFusions = Literal["cpu", "cuda", "webgpu", "dml"]


class HTPExportStep(Enum):
    """The eight steps of a monitored export, in order."""

    MODEL_PREP = "model_preparation"
    INPUT_GEN = "input_generation"
    HIERARCHY = "hierarchy_building"
    TRACE = "model_tracing"
    EXPORT = "onnx_export"
    NODE_TAGGING = "node_tagging"
    SAVE = "model_save"
    COMPLETE = "export_complete"

    @property
    def number(self) -> int:
        """Position of the step, 1 to 8."""
        return list(type(self)).index(self) + 1

    @property
    def title(self) -> str:
        """The step's value as words: ``"model preparation"``."""
        return self.value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a module's calls took in the watched pass, with the modules they call; None: can't be determined.

    Attributes:
        flops: floating-point operations as ``torch.utils.flop_counter`` counts them (one multiply-add is two).
        attention_flops: those of attention on the CPU, which it has no formula for; not part of ``flops``.
        activation_bytes: bytes of the tensors returned.
    """

    flops: int | None = None
    attention_flops: int | None = None
    activation_bytes: int | None = None

    @classmethod
    def total(cls, calls: Iterable[Cost | None]) -> Cost:
        """Of several calls: the sums, None where one of them isn't known or there is none."""
        costs = [call or cls() for call in calls]
        return cls(*(_sum([getattr(cost, item.name) for cost in costs]) for item in fields(cls)))


def _sum(numbers: list[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known and len(known) == len(numbers) else None


@dataclass
class ModuleInfo:
    """One ``nn.Module`` of the exported model.

    ``path`` is the module's qualified name (root: ``""``). ``execution_order`` is the 0-based position of the
    module's first call, or None when it was registered but never ran. ``parameters`` counts the elements of the
    module's own parameters (children excluded). Shapes are one list of ints per tensor of the first call.
    ``has_forward`` is False for containers that can't be called (``ModuleList``, ``ModuleDict``).
    """

    path: str = ""
    class_name: str = ""
    tag: str = ""
    execution_order: int | None = None
    calls: int = 0
    parameters: int = 0
    input_shapes: list[list[int]] = field(default_factory=list)
    output_shapes: list[list[int]] = field(default_factory=list)
    has_forward: bool = True
    params_bytes: int | None = None  # of the parameters it registered itself
    cost: Cost = field(default_factory=Cost)
    name_in_tags: str = ""  # where a naming rule chose another one than the class's

    @property
    def executed(self) -> bool:
        """Whether the module was called at least once."""
        return self.calls > 0


@dataclass
class HTPExportData:
    """What is known of one export so far. Every field has a default; what was not measured stays None or empty.

    Units: ``coverage`` percent (0 to 100), ``export_time`` and every ``seconds`` in seconds, sizes in bytes.
    ``tagged_nodes`` maps a node's key to its tag (untagged nodes are absent); ``node_details`` maps *every* node's
    key to ``{"op_type", "domain", "evidence", "rule", "origins", "graph"}``.
    ``execution_steps`` counts the enter and exit events of module calls in one forward pass.
    """

    model_name: str = ""
    model_class: str = ""
    total_modules: int = 0
    total_parameters: int = 0
    output_path: str = ""
    embed_hierarchy_attributes: bool = True
    hierarchy: dict[str, ModuleInfo] = field(default_factory=dict)
    execution_steps: int = 0
    total_nodes: int = 0
    tagged_nodes: dict[str, str] = field(default_factory=dict)
    tagging_stats: dict[str, int | float] = field(default_factory=dict)
    coverage: float | None = None
    export_time: float | None = None
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: list[dict[str, str]] = field(default_factory=list)

    # What the writers show when it is known.
    inputs: list[dict[str, Any]] = field(default_factory=list)  # {"name", "dtype", "shape"} per input tensor
    outputs: list[dict[str, Any]] = field(default_factory=list)  # the same per graph output
    node_details: dict[str, dict[str, Any]] = field(default_factory=dict)
    unobserved: list[str] = field(default_factory=list)  # places of the exporter that could not be watched
    exporter: str = ""
    opset: dict[str, int] = field(default_factory=dict)
    file_size: int | None = None  # the .onnx file itself
    external_data_size: int | None = None  # the weights beside it; None when there is no such file
    parity: dict[str, Any] | None = None
    attestation: dict[str, Any] | None = None
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)  # target name → what its compiler made of it
    environment: dict[str, str] = field(default_factory=dict)
    stages: list[dict[str, Any]] = field(default_factory=list)  # {"name", "status", "seconds", "summary", …}
