"""A compiler that crashes, hangs or runs out of memory is an answer like any other, with its last words."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from htp_tagged import Step, chain, written

from pytest_htp import HTPUsageError, Target
from pytest_htp.targets.run import compile_for

STEPS: list[Step] = [
    ("a", "Relu", {}),
    ("layers.0.act", "Tanh", {}),
    ("layers.0.out", "Relu", {}),
    ("layers.1.act", "Tanh", {}),
]


def target(function: str) -> Target:
    return Target("chip", compiler=f"htp_compilers:{function}", options={"device": "CHIP"})


def test_a_crash_is_told_with_its_signal_and_last_words(tmp_path: Path) -> None:
    result = compile_for(target("crash"), *written(chain(STEPS[:1]), tmp_path), timeout=30)
    assert not result.compiled
    assert result.error == "the compiler's process died of SIGABRT; its last words: no space in VTCM"
    assert "allocating" in result.log
    assert (result.partitions, result.share, result.placement, result.device) == (None, None, {}, "CHIP")


def test_a_hang_is_stopped(tmp_path: Path) -> None:
    started = time.perf_counter()
    result = compile_for(target("hang"), *written(chain(STEPS), tmp_path), timeout=2)
    assert time.perf_counter() - started < 20
    assert result.error == (
        "the compiler did not finish within 2 s (htp_target_timeout) and was stopped; its last words: still at it"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with the one that started it")
def test_a_compiler_ends_with_the_process_that_waits_for_it(tmp_path: Path) -> None:
    path, _ = written(chain(STEPS[:1]), tmp_path)
    code = (
        "from pytest_htp.targets.messages import CompileRequest\n"
        "from pytest_htp.targets.process import compile_apart\n"
        f"request = CompileRequest(model={str(path)!r}, target='chip', compiler='htp_compilers:hang', options={{}})\n"
        "compile_apart(request, 60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    waiting = subprocess.Popen([sys.executable, "-c", code], env=environment)
    children = Path(f"/proc/{waiting.pid}/task/{waiting.pid}/children")
    while not (found := children.read_text().split()):
        time.sleep(0.05)
    compiler = Path(f"/proc/{found[0]}")
    while "still at it" not in (compiler / "fd/1").read_text():  # what it prints goes into a file
        time.sleep(0.05)
    waiting.kill()
    waiting.wait()
    for _ in range(100):
        if not compiler.exists() or not (compiler / "cmdline").read_bytes():  # gone, or waiting to be collected
            return
        time.sleep(0.05)
    pytest.fail("the compiler runs on")


def test_an_exit_is_told(tmp_path: Path) -> None:
    result = compile_for(target("leave"), *written(chain(STEPS[:1]), tmp_path), timeout=30)
    assert result.error == (
        "the compiler's process ended with exit code 3 and no answer; its last words: licence expired"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory")
def test_memory_that_runs_out_is_told(tmp_path: Path) -> None:
    result = compile_for(target("allocate"), *written(chain(STEPS[:1]), tmp_path), timeout=30)
    assert result.error is not None
    assert "MemoryError" in result.error


def test_a_refusal_names_the_modules_that_cause_it(tmp_path: Path) -> None:
    result = compile_for(target("refuse_tanh"), *written(chain(STEPS), tmp_path), timeout=30)
    assert (result.error, result.failing) == ("Tanh is not implemented", ("layers.0.act", "layers.1.act"))
    assert result.record.failing == ["layers.{0..1}.act"]
    assert result.line() == "chip: does not compile (alone: layers.{0..1}.act): Tanh is not implemented"


def test_what_compiles_is_placed(tmp_path: Path) -> None:
    result = compile_for(target("refuse_tanh"), *written(chain(STEPS[:1]), tmp_path), timeout=30)
    assert (result.placement, result.share) == ({"a": {"CHIP": 1}}, 100)


def test_an_option_that_sends_everything_to_the_cpu_is_named(tmp_path: Path) -> None:
    chip = Target("chip", compiler="htp_compilers:turbo", options={"device": "CHIP", "turbo": True})
    with pytest.raises(HTPUsageError, match="'chip' answers turbo='1' by running everything on the CPU"):
        compile_for(chip, *written(chain(STEPS[:1]), tmp_path), timeout=30)


@pytest.mark.parametrize(
    ("compiler", "message"),
    [
        ("htp_compilers:another_type", "must return a CompileAnswer, got str"),
        ("no_such_package:compile", "No module named 'no_such_package'"),
        ("htp_compilers:missing", "has no attribute 'missing'"),
    ],
)
def test_a_compiler_that_is_none_is_a_usage_error(compiler: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(HTPUsageError, match=message):
        compile_for(Target("chip", compiler=compiler), *written(chain(STEPS[:1]), tmp_path), timeout=30)
