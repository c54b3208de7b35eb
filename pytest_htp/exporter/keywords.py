"""The options of an export as type checkers see them; what they do is said by ``ExportOptions``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, TypedDict

from pytest_htp.vocabulary import EngineName, OrtFusions, Weights


class ExportKeywords(TypedDict, total=False):
    """Keyword options of ``HTPExporter``."""

    exporter: EngineName
    dynamic: bool
    dynamic_shapes: Any
    opset_version: int | None
    input_names: Sequence[str]
    output_names: Sequence[str]
    custom_translation_table: Mapping[Callable[..., Any], Any] | None
    external_data: bool | None
    optimize: bool
    ort_fusions: OrtFusions | None
    embed_hierarchy_attributes: bool
    tag_namespace: str
    weights: Weights
    parity: bool
    rtol: float | None
    atol: float | None
    parity_inputs: Sequence[object]
    providers: Sequence[str]
    ort_extensions: Sequence[str | PathLike[str]]
    stages: Sequence[object]
    calibration: Iterable[object] | None
    quantizer: Any
    reference: object
    targets: Any
    target_timeout: float
    seed: int
    config: Mapping[str, object] | None
    verbose: bool


class FixtureKeywords(ExportKeywords, total=False):
    """Those of the fixture's calls.

    Attributes:
        min_coverage: percent of nodes that must be tagged.
        fail_on: the mildest verdict that fails the test.
        quality_tolerance: dB by which a stage's SQNR may move.
    """

    min_coverage: float | None
    fail_on: str | None
    quality_tolerance: float | None
