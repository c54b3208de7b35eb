from __future__ import annotations

import pytest

from pytest_htp import HTPExportData, HTPExportStep, StepAwareWriter
from pytest_htp.monitor.writer import handles


class Base(StepAwareWriter):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, HTPExportStep]] = []

    @handles(HTPExportStep.TRACE, HTPExportStep.EXPORT)
    def both(self, step: HTPExportStep, data: HTPExportData) -> None:
        self.seen.append(("both", step))


class Derived(Base):
    @handles(HTPExportStep.EXPORT)
    def one(self, step: HTPExportStep, data: HTPExportData) -> None:
        self.seen.append(("one", step))


class Overriding(Base):
    def both(self, step: HTPExportStep, data: HTPExportData) -> None:
        self.seen.append(("other", step))


def run(writer: Base) -> list[tuple[str, HTPExportStep]]:
    for step in HTPExportStep:
        writer.write(step, HTPExportData())
    return writer.seen


def test_a_handler_may_take_several_steps() -> None:
    assert run(Base()) == [("both", HTPExportStep.TRACE), ("both", HTPExportStep.EXPORT)]


def test_handlers_are_inherited_and_run_before_the_subclass_s_own() -> None:
    assert run(Derived()) == [
        ("both", HTPExportStep.TRACE),
        ("both", HTPExportStep.EXPORT),
        ("one", HTPExportStep.EXPORT),
    ]
    assert len(run(Base())) == 2  # the base class did not learn its subclass's handlers


def test_a_method_of_the_same_name_takes_the_handler_s_place() -> None:
    assert run(Overriding()) == [("other", HTPExportStep.TRACE), ("other", HTPExportStep.EXPORT)]


def test_the_last_data_is_kept_whatever_is_handled() -> None:
    data = HTPExportData(model_name="m")
    writer = StepAwareWriter()
    assert writer.data is None
    writer.write(HTPExportStep.SAVE, data)
    assert writer.data is data


@pytest.mark.parametrize("steps", [(), ("model_tracing",), (HTPExportStep.TRACE, None)])
def test_handles_refuses_what_is_no_step(steps: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match="MODEL_PREP"):
        handles(*steps)  # type: ignore[arg-type]
