"""One call of ``htp_export``: export, report, compare, record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_htp.errors import HTPExportError, HTPUsageError
from pytest_htp.session.commands import as_typed, commands_for
from pytest_htp.session.exports import SECTION, TestExports
from pytest_htp.session.extensions import Extensions
from pytest_htp.session.identity import nodeid_of
from pytest_htp.session.settings import ExportSettings, RunSettings

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

    from pytest_htp.compare import Comparison
    from pytest_htp.exporter import HTPExport
    from pytest_htp.session.run import HtpRun


class HtpExportFixture:
    """Callable that the fixture returns; one per test."""

    def __init__(self, request: pytest.FixtureRequest, snapshot: SnapshotAssertion, run: HtpRun) -> None:
        self._request = request
        self._item: pytest.Item = request.node
        self._run = run
        self._extensions = Extensions(self._item)
        self._exports = TestExports.start(self._item)
        self._store = run.baselines(self._item, snapshot)

    def __call__(
        self,
        model: Any,
        inputs: Any = None,
        *,
        name: str | None = None,
        baseline: bool = True,
        min_coverage: float | None = None,
        fail_on: str | None = None,
        **options: Any,
    ) -> HTPExport:
        """Export ``model``, attach the log to the test's report and compare with the baseline.

        All findings of a test are reported together when it ends; baselines are written only if it passed.

        Args:
            model: an ``nn.Module``, a transformers model or config, a factory without arguments, or a saved
                folder. inputs: a mapping, a tuple, a tensor, or None to make them. name: tells the exports of
                one test apart; by default they are numbered. baseline: False compares with nothing (coverage
                and parity are checked all the same). min_coverage: percent of nodes that must be tagged.
                fail_on: the mildest verdict that fails the test. **options: of
                :class:`pytest_htp.HTPExporter`.

        Raises:
            HTPExportError: one of the eight steps failed.
            HTPUsageError: an unknown option or a bad value.
        """
        settings = self._settings({**options, "min_coverage": min_coverage, "fail_on": fail_on})
        export_name = self._name(name)
        folder = self._folder()
        try:
            export, shared_with = self._run.export(self._item, model, inputs, settings.options, folder)
        except HTPExportError as error:
            self._failed(export_name, settings, error, baseline=baseline)
            self._add_sections()
            raise
        self._attach(export.console)
        self._judge(export_name, settings, export, shared_with, baseline=baseline)
        self._add_sections()
        return export

    def for_generation(
        self,
        model: Any,
        inputs: Any = None,
        *,
        name: str | None = None,
        baseline: bool = True,
        min_coverage: float | None = None,
        fail_on: str | None = None,
        generation_config: Any = None,
        multi_token_decode: bool = False,
        **options: Any,
    ) -> dict[str, HTPExport]:
        """Export each component of a generative model (prefill, decode, encoder, …) as transformers splits
        it.

        One baseline per component, named after it. Arguments as for a call; ``inputs`` are those of
        ``model.generate``.
        """
        from pytest_htp.capture.generation import generation_components, options_of_part

        prefix = f"{name}-" if name else ""
        settings = self._settings({**options, "min_coverage": min_coverage, "fail_on": fail_on})
        if settings.options.get("parity_inputs"):
            raise HTPUsageError(
                "parity_inputs are inputs of one forward, and for_generation exports several; leave them out (other "
                "sizes and padding are tried anyway)"
            )
        components = generation_components(
            model,
            inputs,
            seed=settings.options.get("seed", 0),
            weights=settings.options.get("weights", "real"),
            generation_config=generation_config,
            multi_token_decode=multi_token_decode,
        )
        return {
            component: self(
                submodel,
                component_inputs,
                name=f"{prefix}{component}",
                baseline=baseline,
                min_coverage=min_coverage,
                fail_on=fail_on,
                **{**options, **options_of_part(submodel, settings.options)},
            )
            for component, (submodel, component_inputs) in components.items()
        }

    def _settings(self, call: Mapping[str, Any]) -> ExportSettings:
        marker: dict[str, Any] = {}
        for mark in reversed(list(self._item.iter_markers("htp"))):
            if mark.args:
                raise HTPUsageError(
                    f"@pytest.mark.htp takes keywords only, like min_coverage=95; got {', '.join(map(repr, mark.args))}"
                )
            marker.update(mark.kwargs)
        return ExportSettings.resolve(self._run.settings, marker, call)

    def _name(self, name: str | None) -> str:
        names = self._exports.names
        if self._exports.over:
            raise HTPUsageError(
                f"htp_export was called after {nodeid_of(self._item)} had ended, such as behind a fixture's yield: "
                "nothing could fail the test for what it finds, nor store a baseline; call it in the test, or before "
                "the yield"
            )
        if name is None:
            # A number that the test itself gave as a name is passed over.
            numbers = (str(number) for number in count(len(names) + 1))
            name = next(number for number in numbers if number not in names) if names else ""
        elif not isinstance(name, str) or not name.strip():
            raise HTPUsageError(f"htp_export(name=…) must be a non-empty string, got {name!r}")
        if name in names:
            raise HTPUsageError(
                f"two exports of {nodeid_of(self._item)} have the name {name!r}; give each its own name="
            )
        names.add(name)
        return name

    def _folder(self) -> Path:
        factory: pytest.TempPathFactory = self._request.getfixturevalue("tmp_path_factory")
        return factory.mktemp("htp", numbered=True)

    def _attach(self, console: str) -> None:
        self._item.add_report_section("call", SECTION, console)

    def _add_sections(self) -> None:
        """What other plugins say of the export just made, for the report and the test's sections."""
        result = self._exports.results[-1]
        sections = self._extensions.sections(result)
        if sections:
            result["sections"] = sections
        for section in sections:
            self._item.add_report_section("call", section["title"], section["text"])

    def _result(self, export_name: str, settings: ExportSettings) -> dict[str, Any]:
        path, line, _ = self._item.location
        shown = self._item.name + (f" [{export_name}]" if export_name else "")
        return {
            "nodeid": nodeid_of(self._item),
            "name": shown,
            "file": Path(path).as_posix(),
            "line": (line or 0) + 1,
            "fail_on": settings.fail_on,
            "commands": commands_for(self._item),
        }

    def _failed(self, export_name: str, settings: ExportSettings, error: HTPExportError, *, baseline: bool) -> None:
        """An export that did not finish: recorded with what the earlier steps produced and the baseline it has.

        A baseline that is there and readable counts as ``changed``: what it describes could not be made.
        """
        from pytest_htp.compare import Finding  # the comparison's modules are not for every pytest run to import

        finding = Finding(
            "step.failed",
            str(error).partition("\n")[0],
            before=None,
            after=error.step.value,
        )
        data = error.data
        console = self._run.console_of(error)
        self._attach(console)
        stored = self._store.read(export_name) if baseline else None
        before = stored.record if stored is not None else None
        found = "missing" if stored is None else "error" if before is None else "changed"
        self._exports.results.append(
            {
                **self._result(export_name, settings),
                "model_class": data.model_class or (before["model"]["class"] if before is not None else None),
                "verdict": finding["verdict"],
                "outcome": "failed",
                "findings": [dict(finding)],
                "steps": data.steps,
                "seconds": data.export_time,
                "coverage": data.tagging_stats or None,
                "coverage_before": before["coverage"] if before is not None else None,
                "console": console,
                "console_html": error.console_html,
                "baseline": self._store.shown_path(export_name) if baseline else None,
                "baseline_status": found if baseline else "off",
                "before": before,
                "error": {
                    "step": error.step.value,
                    "type": type(error.cause).__name__,
                    "message": str(error),
                },
                "artifacts": self._artifacts(export_name, None, Path(data.output_path)),
            }
        )

    def _judge(
        self,
        export_name: str,
        settings: ExportSettings,
        export: HTPExport,
        shared_with: str | None,
        *,
        baseline: bool,
    ) -> None:
        stored = self._store.read(export_name) if baseline else None
        before = stored.record if stored is not None else None
        comparison = self._compare(settings, export, before)
        status = "off" if not baseline else stored.status(export.record) if stored is not None else "missing"
        # Judged and recorded is what the export gave, whatever the test does to its result afterwards.
        record = deepcopy(export.record)
        result = {
            **self._result(export_name, settings),
            "verdict": comparison.verdict,
            "outcome": "passed",
            "findings": [dict(finding) for finding in comparison.findings],
            "coverage": record["coverage"],
            "coverage_before": before["coverage"] if before is not None else None,
            "parity": deepcopy(export.data.parity),
            "attestation": deepcopy(export.attestation),
            "steps": deepcopy(export.data.steps),
            "seconds": export.data.export_time,
            "nodes": export.coverage.total_nodes,
            "bytes": record["weights"]["initializers"]["bytes"],
            "baseline": self._store.shown_path(export_name) if baseline else None,
            "baseline_status": status,
            "record": record,
            "before": before,
            "shared_with": shared_with,
            "console": export.console,
            "console_html": export.console_html,
            "error": None,
            "artifacts": self._artifacts(export_name, export, export.onnx_path),
        }
        self._exports.results.append(result)
        self._exports.cleanup.append(self._run.cleanup_of(export))
        if not baseline:
            self._gate(result, comparison, acceptable=False)
        elif self._store.will_write(stored):
            # Accepting a change accepts differences from the baseline, not what is wrong whatever it says.
            if not self._gate(result, self._compare(settings, export, None), acceptable=False):
                self._exports.on_pass.append(self._writer(result, export_name, record, before))
        elif stored is None:
            self._missing(result, self._compare(settings, export, None))
        elif stored.problem is not None:
            accept = result["commands"]["accept"]
            self._fail(result, f"{result['name']}: {stored.problem}\n\naccept the current export with:\n  {accept}")
        elif comparison.at_or_above(settings.fail_on):
            absolute = self._compare(settings, export, None)
            self._gate(result, comparison, acceptable=not absolute.at_or_above(settings.fail_on))
            self._store.report_mismatch(export_name, record)
        else:
            self._exports.on_pass.append(lambda: self._store.confirm(export_name))

    def _artifacts(self, export_name: str, export: HTPExport | None, output_path: Path) -> str | None:
        return self._run.keep_artifacts(nodeid_of(self._item), export_name, export, output_path)

    def _compare(self, settings: ExportSettings, export: HTPExport, before: dict[str, Any] | None) -> Comparison:
        from pytest_htp.compare import compare_exports
        from pytest_htp.compare.extra import with_findings

        run: RunSettings = self._run.settings
        comparison = compare_exports(
            before if before is not None else export.record,
            export.record,
            policy=run.policy,
            coverage_tolerance=run.coverage_tolerance,
            min_coverage=settings.min_coverage,
            sources=export.sources,
        )
        found = self._extensions.findings(before, export.record, export)
        return with_findings(comparison, found, run.policy) if found else comparison

    def _gate(self, result: dict[str, Any], comparison: Comparison, *, acceptable: bool = True) -> bool:
        """Whether the comparison fails the test; if so, the result and the test's message say why.

        Args:
            acceptable: whether updating the baseline would accept it.
        """
        if not comparison.at_or_above(result["fail_on"]):
            return False
        result["verdict"] = comparison.verdict
        result["findings"] = [dict(finding) for finding in comparison.findings]
        if not acceptable:
            result["commands"] = {**result["commands"], "accept": ""}
        self._fail(result, self._text(result, comparison))
        return True

    def _missing(self, result: dict[str, Any], absolute: Comparison) -> None:
        """No baseline yet: say how to make one, and what would keep it from being made."""
        lines = [
            f"{result['name']}: there is no baseline yet",
            f"  expected: {result['baseline']}",
            "",
            "create it, review it, commit it:",
            f"  {result['commands']['accept']}",
        ]
        if absolute.at_or_above(result["fail_on"]):
            lines += ["", self._text({**result, "commands": {}}, absolute)]
        self._fail(result, "\n".join(lines))

    def _text(self, result: dict[str, Any], comparison: Comparison) -> str:
        shown = dict(result["commands"])
        if self._run.settings.report_dir is not None:
            shown["report"] = as_typed(self._run.settings.report_dir / "index.html", self._item.config)
        from pytest_htp.compare import render_failure

        return render_failure(comparison, name=result["name"], fail_on=result["fail_on"], commands=shown)

    def _fail(self, result: dict[str, Any], text: str) -> None:
        result["outcome"] = "failed"
        self._exports.failures.append(text)

    def _writer(
        self, result: dict[str, Any], export_name: str, record: dict[str, Any], before: dict[str, Any] | None
    ) -> Callable[[], None]:
        def write() -> None:
            try:
                result["baseline_status"] = self._store.write(export_name, record, before)
            except HTPUsageError:
                result["baseline_status"], result["outcome"] = "error", "failed"
                raise

        return write
