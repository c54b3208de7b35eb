"""The rules, in the order in which they run: causes before effects, specific before general."""

from __future__ import annotations

from collections.abc import Callable

from pytest_htp.compare.context import Context
from pytest_htp.compare.rules import (
    attestation,
    controlflow,
    cost,
    coverage,
    dtypes,
    fusion,
    io,
    meaning,
    modules,
    moved,
    ops,
    opset,
    parity,
    remainder,
    shapes,
    stored,
    tables,
    targets,
    toolchain,
    unobserved,
    weights,
    wiring,
)

# Of an export and of each of its stages.
RULES: tuple[Callable[[Context], None], ...] = (
    toolchain.report_toolchain,
    unobserved.report_unobserved,
    io.compare_io,
    opset.compare_opset,
    modules.compare_modules,
    meaning.claim_echoes,
    weights.compare_stored_dtypes,
    stored.compare_stored_bytes,
    shapes.claim_shape_code,
    shapes.claim_output_code,
    shapes.claim_input_types,
    moved.claim_lost_tags,
    moved.compare_tags,
    controlflow.compare_control_flow,
    fusion.compare_fusions,
    dtypes.compare_precision,
    wiring.claim_rewired,
    shapes.claim_io_nodes,
    ops.compare_ops,
    tables.compare_tables,
    meaning.report_outputs,
    coverage.compare_coverage,
    parity.compare_parity,
    attestation.compare_attestation,
    targets.compare_targets,
    cost.compare_flops,
    remainder.report_remainder,
    cost.compare_tokens,
)
