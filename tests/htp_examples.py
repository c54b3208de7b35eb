"""Projects that the tests of the plugin run pytest in. Their model exports in well under a second."""

from __future__ import annotations

from pathlib import Path

from pytest_htp.testing import Example

NET = '''
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.first = nn.Linear(3, width)
        self.act = nn.GELU()
        self.last = nn.Linear(width, 2)

    def forward(self, x):
        return self.last(self.act(self.first(x)))

def make(width=4):
    torch.manual_seed(0)
    return Net(width)

class Half(nn.Module):
    """Gives its input back as well: an Identity node that no module owns, half of the graph."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)

    def forward(self, x):
        return self.first(x), x

class Raises(nn.Module):
    def forward(self, x):
        raise RuntimeError("this forward always raises")

X = torch.ones(2, 3)
'''

ONE_TEST = """
from net import X, make

def test_net(htp_export):
    htp_export(make(), X, parity=False)
"""

# A change of one layer that a baseline must notice.
CHANGED = (
    "return self.last(self.act(self.first(x)))",
    "return self.last(torch.tanh(self.act(self.first(x))))",
)


def project(folder: Path, test: str = ONE_TEST, **files: str) -> Example:
    """The model above in ``net.py``, ``test`` in ``test_net.py``; a keyword adds ``keyword.py``."""
    more = {f"{name}.py": content for name, content in files.items()}
    return Example({"net.py": NET, "test_net.py": test, **more}, folder=folder)


_recorded: dict[tuple[str, ...], dict[str, bytes]] = {}


def recorded(folder: Path, test: str = ONE_TEST, **files: str) -> Example:
    """The same with its baselines made: by a run of their own the first time, copied after that."""
    key = (test, *files, *files.values())
    if key in _recorded:
        return Example(_recorded[key], folder=folder)
    example = project(folder, test, **files)
    run = example.run_pytest("--snapshot-update", report=False)
    assert set(run.outcomes) == {"passed"}, run.stdout
    _recorded[key] = example.files
    return example


def change_the_model(example: Example) -> None:
    """Another operator in the forward of ``net.Net``."""
    example.replace("net.py", *CHANGED)
