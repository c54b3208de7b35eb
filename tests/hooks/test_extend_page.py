"""What ``docs/how-to/extend.md`` shows works as it is."""

from __future__ import annotations

import re
from pathlib import Path

from htp_examples import CHANGED, project

INI = "[pytest]\npythonpath = .\n"
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "extend.md"
TEST = """
from net import make

def test_net(htp_export):
    net = make()
    net.first.bits = 8
    print(sorted(set(htp_export(net, parity=False).tags.values())))
"""


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = dict(re.findall(r"^```python file=(\S+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    [policy] = re.findall(r"^```ini\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert list(blocks) == ["conftest.py", "acme.py", "optional.py"]
    example = project(tmp_path, TEST).write({**blocks, "pytest.ini": INI})

    first = example.run_pytest("--snapshot-update", "-rP", "-p", "optional", outcomes={"passed": 1})
    assert "/Net/Linear[int8].first" in first.stdout
    assert [section["title"] for section in first.export["sections"]] == ["Memory", "Coverage"]
    assert example.baseline["inputs"][0]["dims"] == ["batch", 3]
    run = example.run_pytest(outcomes={"failed": 1})
    assert "regression  x-acme.over-budget" in run.stdout
    assert "3 operators, the budget is 2" in run.stdout

    example.write({"pytest.ini": INI + policy.replace("[pytest]\n", "")})
    assert example.run_pytest(outcomes={"passed": 1}).findings[0]["verdict"] == "info"
    assert example.replace("net.py", *CHANGED).run_pytest(outcomes={"failed": 1}).codes >= {"ops.changed"}

    with_target = TEST.replace("parity=False", 'parity=False, targets=["acme"]')
    example.write({"test_net.py": with_target})
    example.run_pytest("-p", "acme", "--snapshot-update", outcomes={"passed": 1})
    (acme,) = example.baseline["targets"]
    assert {row["path"]: row["devices"] for row in acme["placement"]}["act"] == {"CPU": 1}

    # Without pytest-htp the optional hook is no error.
    example.remove("conftest.py").write({"test_net.py": "def test_nothing():\n    pass\n"})
    example.run_pytest("-p", "no:htp", "-p", "optional", report=False, outcomes={"passed": 1, "warning": 1})
