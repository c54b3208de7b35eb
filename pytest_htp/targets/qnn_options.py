"""Options of Qualcomm's execution provider that a compile without a device can take.

Names are those in the documentation of onnxruntime-qnn 2.7.0 that are also in its library; what each value does was
tried with 2.7.0 (November 2026). The provider says nothing about a name that it does not know, only warns about
most bad values (``Invalid HTP architecture: 7x``) and then compiles for something else, and answers some by leaving
the whole graph to the CPU.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pytest_htp.errors import HTPUsageError, suggestion

QNN_DEFAULTS = {"htp_arch": "75", "soc_model": "60"}
"""Hexagon v75 on SoC model 60. Without a SoC model (``0``) even small graphs fail to finalize."""

_FLAG = ("0 or 1", "[01]")
_WORD = ("a path", ".+")

_OPTIONS: dict[str, tuple[str, str]] = {
    "htp_arch": ("one of 68, 69, 73, 75, 79, 81", "68|69|73|75|79|81"),
    "soc_model": ("a SoC model's number or name, like 60 or SM8650", "[1-9][0-9]*|[A-Z][A-Z0-9]+"),
    "vtcm_mb": ("a whole number of megabytes from 1", "[1-9][0-9]*"),
    "htp_performance_mode": (
        "a performance mode, like burst or default",
        "burst|balanced|default|high_performance|high_power_saver|low_balanced|low_power_saver|power_saver"
        "|extreme_power_saver|sustained_high_performance",
    ),
    "htp_graph_finalization_optimization_mode": ("0, 1, 2 or 3", "[0-3]"),
    "qnn_context_priority": ("low, normal, normal_high or high", "low|normal|normal_high|high"),
    "rpc_control_latency": ("a whole number", "[0-9]+"),
    "profiling_level": ("off (there is no device to profile)", "off"),
    "offload_graph_io_quantization": _FLAG,
    "enable_htp_fp16_precision": _FLAG,
    "enable_htp_fp16_clamp_overflow": _FLAG,
    "enable_htp_spill_fill_buffer": _FLAG,
    "enable_htp_monolithic_lstm": _FLAG,
    "enable_htp_graph_splitting": _FLAG,
    "enable_block_quant_weight_optimization": _FLAG,
    "htp_bf16_enable": _FLAG,
    "disable_file_mapped_weights": _FLAG,
    "skip_qnn_version_check": _FLAG,
    "op_packages": (
        "<OpType>:<PackagePath>:<InterfaceSymbolName>[:<Target>], several separated by commas",
        r"[^:,]+:[^:,]+:[^:,]+(:[^:,]*)?(,[^:,]+:[^:,]+:[^:,]+(:[^:,]*)?)*",
    ),
    "dump_qnn_ir_dlc": _FLAG,
    "dump_qnn_ir_dlc_dir": _WORD,
    "dump_json_qnn_graph": _FLAG,
    "json_qnn_graph_dir": _WORD,
}

_REFUSED = {
    "backend_path": "pytest-htp gives the HTP library of the installed package",
    "backend_type": "the target is always the HTP compiler",
    "qnn_saver_path": "the saver compiles nothing",
    "device_id": "there is no device",
    "enable_htp_shared_memory_allocator": "it needs a device; without one all nodes run on the CPU",
    "enable_htp_prepare_only": "with it all nodes run on the CPU",
    "enable_vtcm_backup_buffer_sharing": "it needs a device; without one all nodes run on the CPU",
    "htp_share_resource_optimization": "it needs a device; without one all nodes run on the CPU",
    "skip_backend_op_validation": "it would place nodes that the compiler refuses",
}


def check_qnn_options(target: str, options: Mapping[str, str], *, own_library: bool = False) -> None:
    """Refuse what the provider would ignore, or answer by running on the CPU.

    Args:
        target: its name, for messages.
        options: as given to the target.
        own_library: whether the provider is another than that of the installed package; its backend must be given then.

    Raises:
        HTPUsageError: names the option, what was expected, and what is known.
    """
    for name, value in options.items():
        if name == "backend_path" and own_library:
            continue
        if name in _REFUSED:
            raise HTPUsageError(f"option {name!r} of target {target!r} can't be used: {_REFUSED[name]}")
        if name not in _OPTIONS:
            hint = suggestion(name, _OPTIONS)
            raise HTPUsageError(
                f"target {target!r} has no option {name!r}{hint}; the provider would ignore it. Known: "
                f"{', '.join(sorted(_OPTIONS))}"
            )
        expected, pattern = _OPTIONS[name]
        if not re.fullmatch(pattern, value):
            raise HTPUsageError(f"option {name!r} of target {target!r} must be {expected}, got {value!r}")
