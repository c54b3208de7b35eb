"""``--dist loadgroup``: tests that ask for the same model are one group. One run; nothing is exported in it."""

from __future__ import annotations

from pathlib import Path

from pytest_htp.testing import Example

NET = """
from functools import partial
from torch import nn
from transformers import BertConfig

class Net(nn.Linear):
    def __init__(self, width=2):
        super().__init__(2, width)

def make():
    return Net()

def wide(width):
    return Net(width)

MODEL = Net()
OTHER = Net()
PART = partial(Net, 3)
CONFIG = BertConfig(num_hidden_layers=1)
FOLDER = "saved"
"""
TEST = """
import net
import pytest
from net import CONFIG, FOLDER, MODEL, OTHER, PART, Net, make, wide

@pytest.mark.parametrize("n", [0, 1, 2])
def test_model(htp_export, n): htp_export(MODEL, n)
def test_model_of_a_module(htp_export): htp_export(net.MODEL)
def test_model_in_a_function(htp_export): helper(htp_export)
def helper(export): return [export(model) for model in (MODEL,)]

def test_other(htp_export): htp_export(OTHER)
def test_other_and_factory(htp_export): htp_export(OTHER), htp_export(make)
def test_factory(htp_export): htp_export(make)
def test_factory_of_a_module(htp_export): htp_export(net.make, net.X)

def test_class(htp_export): htp_export(Net)
def test_class_again(htp_export): htp_export(Net)
def test_part(htp_export): htp_export(PART)
def test_part_again(htp_export): htp_export(PART)
def test_config(htp_export): htp_export(CONFIG)
def test_config_again(htp_export): htp_export(CONFIG)
def test_folder(htp_export): htp_export(FOLDER)

PAIR = [Net(), Net()]

@pytest.mark.parametrize("model", PAIR, ids="ab")
def test_parameter(htp_export, model): htp_export(model)
@pytest.mark.parametrize("model", PAIR, ids="ab")
def test_parameter_again(htp_export, model): htp_export(model)

@pytest.mark.xdist_group("mine")
def test_mine(htp_export): htp_export(MODEL)
@pytest.mark.xdist_group("mine")
def test_mine_too(htp_export): htp_export(OTHER)

def test_set_late(htp_export): htp_export(MODEL)
def test_set_late_too(htp_export): htp_export(OTHER)

def test_a_new_one(htp_export): htp_export(make())
def test_another_new_one(htp_export): htp_export(wide(3)), htp_export(net.make())
def test_a_class_called(htp_export): htp_export(Net(3)), isinstance(wide, int)
def test_not_ours(): MODEL, make
"""
MANIFEST = """
[export.saved]
model = "saved"

[export.made]
model = "net:make"
"""
CONFTEST = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if "_late" in item.name:
            item.add_marker(pytest.mark.xdist_group("late"))

def pytest_collection_finish(session):
    if hasattr(session.config, "workerinput"):
        with open(f"{session.config.workerinput['workerid']}.log", "w") as file:
            for item in session.items:
                marks = [mark.args[0] for mark in item.iter_markers("xdist_group")]
                print(item.name, *marks, item.nodeid.rpartition("@")[2] if marks else "", file=file)

def pytest_runtest_call(item):
    item.obj = lambda **given: None
"""
TOGETHER = [
    {"test_model[0]", "test_model[1]", "test_model[2]", "test_model_of_a_module", "test_model_in_a_function"},
    {"test_other", "test_other_and_factory", "test_factory", "test_factory_of_a_module", "made"},
    {"test_class", "test_class_again"},
    {"test_part", "test_part_again"},
    {"test_config", "test_config_again"},
    {"test_folder", "saved"},
    {"test_parameter[a]", "test_parameter_again[a]"},
    {"test_parameter[b]", "test_parameter_again[b]"},
    {"test_mine", "test_mine_too"},
    {"test_set_late", "test_set_late_too"},
]
ALONE = {"test_a_new_one", "test_another_new_one", "test_a_class_called", "test_not_ours"}


def test_groups(tmp_path: Path) -> None:
    files = {"net.py": NET, "test_net.py": TEST, "conftest.py": CONFTEST, "nets.htp.toml": MANIFEST}
    example = Example({**files, "saved/config.json": '{"model_type": "bert"}'}, folder=tmp_path)
    example.run_pytest("-n", "2", "--dist", "loadgroup", report=False)
    first, second = example.read("gw0.log"), example.read("gw1.log")
    assert first == second, "every worker names the groups alike"
    groups: dict[str, set[str]] = {}
    for name, *group in (line.split(" ") for line in first.splitlines()):
        if group[0]:
            assert group[0] == group[1], f"{name}: xdist finds the group in the node id"
        groups.setdefault(group[0], set()).add(name)
    assert groups.pop("") == ALONE
    assert sorted(groups.values(), key=sorted) == sorted(TOGETHER, key=sorted)
    assert {"mine", "late"} <= groups.keys()
