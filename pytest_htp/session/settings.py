"""Settings by precedence: the call, then the marker, the command line, the ini file, the default."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_htp.compare.verdicts import VERDICTS
from pytest_htp.errors import HTPUsageError, suggestion

if TYPE_CHECKING:
    from pytest_htp.compare.policy import Policy

# Keywords of the call and the marker that are not options of the export itself.
GATE_KEYWORDS = ("min_coverage", "fail_on", "quality_tolerance")


@dataclass(frozen=True)
class RunSettings:
    """Settings of the whole run, read once from command line and ini.

    ``variant`` is the name of the baselines' variant, ``""`` for the common ones; ``cache_bytes`` what the
    cache may hold at most.
    """

    report_dir: Path | None
    min_coverage: float | None
    fail_on: str
    coverage_tolerance: float
    quality_tolerance: float
    policy_text: str
    parity: bool
    keep_artifacts: bool
    providers: tuple[str, ...]
    target_timeout: float | None
    variant: str
    prune: bool
    cache_dir: Path | None
    cache_bytes: int
    cache_verify: bool

    @property
    def policy(self) -> Policy:
        """``htp_policy``, read.

        Raises:
            HTPUsageError: an unknown code or verdict.
        """
        from pytest_htp.compare.policy import Policy  # not for a run without exports to import

        return Policy.parse(self.policy_text)

    @classmethod
    def from_config(cls, config: pytest.Config) -> RunSettings:
        """Read and check every option.

        Raises:
            pytest.UsageError: a bad value; names the option and what is expected.
        """
        try:
            report = config.getoption("htp_report")
            report_dir = None
            if report is not None:
                name = report or config.getini("htp_report_dir") or "htp-report"
                report_dir = config.invocation_params.dir / name
                if report_dir.exists() and not report_dir.is_dir():
                    raise HTPUsageError(f"--htp-report: {name} is a file; give a folder: --htp-report=DIR")
            limit = config.getini("htp_target_timeout")
            minimum_name, minimum = _typed_or_ini(config, "htp_min_coverage")
            fail_on_name, fail_on = _typed_or_ini(config, "htp_fail_on")
            settings = cls(
                report_dir=report_dir,
                min_coverage=percent(minimum_name, minimum) if minimum or minimum_name.startswith("--") else None,
                fail_on=verdict(fail_on_name, fail_on),
                coverage_tolerance=percent("htp_coverage_tolerance", config.getini("htp_coverage_tolerance")),
                quality_tolerance=decibels("htp_quality_tolerance", config.getini("htp_quality_tolerance")),
                policy_text=config.getini("htp_policy").strip(),
                parity=not config.getoption("htp_no_parity"),
                keep_artifacts=bool(config.getini("htp_keep_artifacts")),
                providers=tuple(config.getini("htp_providers")),
                target_timeout=seconds("htp_target_timeout", limit) if limit else None,
                variant=_variant(config.getini("htp_baseline_variant")),
                prune=bool(config.getoption("htp_prune")),
                cache_dir=_cache_dir(config),
                cache_bytes=size("htp_cache_size", config.getini("htp_cache_size")),
                cache_verify=bool(config.getoption("htp_cache_verify")),
            )
            if settings.policy_text:
                settings.policy  # noqa: B018 - checked before any test runs
            return settings
        except HTPUsageError as error:
            raise pytest.UsageError(str(error)) from None


@dataclass(frozen=True)
class ExportSettings:
    """Settings of one export: what gates it, and the options of the exporter."""

    min_coverage: float | None
    fail_on: str
    quality_tolerance: float
    options: dict[str, Any]

    @classmethod
    def resolve(cls, run: RunSettings, marker: Mapping[str, object], call: Mapping[str, object]) -> ExportSettings:
        """Merge by precedence. None for a gate in a call means: not given there."""
        merged: dict[str, Any] = {}
        if not run.parity:
            merged["parity"] = False
        if run.providers:
            merged["providers"] = run.providers
        if run.target_timeout is not None:
            merged["target_timeout"] = run.target_timeout
        for source in (marker, call):
            _refuse_misspelt(source)
            merged.update({key: value for key, value in source.items() if key not in GATE_KEYWORDS})
        gates: dict[str, object] = {name: getattr(run, name) for name in GATE_KEYWORDS}
        for source in (marker, call):
            gates.update({key: source[key] for key in GATE_KEYWORDS if source.get(key) is not None})
        minimum = gates["min_coverage"]
        return cls(
            min_coverage=None if minimum is None else percent("min_coverage", minimum),
            fail_on=verdict("fail_on", gates["fail_on"]),
            quality_tolerance=decibels("quality_tolerance", gates["quality_tolerance"]),
            options=merged,
        )


def _refuse_misspelt(keywords: Mapping[str, object]) -> None:
    """Of the names that the exporter doesn't know, those that are nearly one it never sees."""
    for name in keywords:
        hint = suggestion(name, GATE_KEYWORDS, cutoff=0.8)
        if hint and name not in GATE_KEYWORDS:
            raise HTPUsageError(f"unknown export option {name!r}{hint}")


def _typed_or_ini(config: pytest.Config, name: str) -> tuple[str, str]:
    """The name of a setting as the user wrote it, and its value."""
    typed = config.getoption(name)
    return (name, config.getini(name)) if typed is None else (f"--{name.replace('_', '-')}", typed)


def _cache_dir(config: pytest.Config) -> Path | None:
    """From the command line relative to where pytest was started, from the ini file to the project's root."""
    typed, configured = config.getoption("htp_cache"), config.getini("htp_cache")
    if typed:
        folder = config.invocation_params.dir / typed
    elif configured or typed is not None or config.getoption("htp_cache_verify"):
        folder = config.rootpath / (configured or ".htp-cache")
    else:
        return None
    if folder.exists() and not folder.is_dir():
        raise HTPUsageError(f"--htp-cache: {folder.name} is a file; give a folder: --htp-cache=DIR")
    return Path(folder)


def size(name: str, value: str) -> int:
    """A number of bytes: ``500M``, ``10G``."""
    text = value.strip().upper().removesuffix("B").removesuffix("I")
    factor = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    if not digits.isdecimal() or not int(digits):
        raise HTPUsageError(f"{name} must be a size like 500M or 10G, got {value!r}")
    return int(digits) * factor


def _variant(template: str) -> str:
    if not template:
        return ""
    from pytest_htp.baseline.variant import resolve_variant  # few projects have variants; every run reads settings

    return resolve_variant(template)


def _number(name: str, value: object, *, expected: str, most: float = sys.float_info.max) -> float:
    """A number from 0; text is read as one."""
    try:
        number = float("nan" if isinstance(value, bool) else value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = float("nan")  # in no range
    if not 0 <= number <= most:
        raise HTPUsageError(f"{name} must be {expected}, got {value!r}")
    return number


percent = partial(_number, expected="a percentage from 0 to 100", most=100)
decibels = partial(_number, expected="a number of dB from 0")
seconds = partial(_number, expected="a number of seconds (0: no limit)")


def verdict(name: str, value: object) -> str:
    """A verdict that can fail a test."""
    if value not in VERDICTS[:-1]:
        raise HTPUsageError(f"{name} must be one of {', '.join(VERDICTS[:-1])}, got {value!r}")
    return str(value)
