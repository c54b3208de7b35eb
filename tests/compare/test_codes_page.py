"""``docs/reference/codes.md`` is written from ``compare/codes.py``; this holds the two together.

``python -m tests.compare.test_codes_page`` writes the page anew.
"""

from __future__ import annotations

from pathlib import Path

from pytest_htp.compare.codes import CODES, EXTENSIONS, Code

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "codes.md"

HEAD = """# Finding codes

<!-- Written by `python -m tests.compare.test_codes_page` from `pytest_htp/compare/codes.py`; edit that. -->

A finding is `{"code", "verdict", "module", "message", "before", "after", "stage"}`. It names the innermost module
concerned (a path, a folded pattern like `encoder.layer.{0..11}`, or null for the graph as a whole) and the stage
or target it was found in (null for the export itself); one fault gives one finding. Verdicts, worst first:
`breaking`, `regression`, `drift`, `improvement`, `info`, `unchanged`. An export's verdict is its worst finding's;
`htp_fail_on` (default `drift`) is the mildest that fails a test, and `htp_policy` sets another verdict per code:

```ini
[pytest]
htp_fail_on = drift
htp_policy = ops.changed:ignore opset.changed:drift
```

*Cause* says who can produce a finding: `exporter` where another toolchain can produce it from an unchanged
model (such findings are grouped under `toolchain.changed` when versions differ), `model` where only the
model's own code can. What each code catches in practice is in the [fault catalogue](faults.md).
"""


def page() -> str:
    contract = [code for code in CODES.values() if code.code not in EXTENSIONS]
    more = [code for code in CODES.values() if code.code in EXTENSIONS]
    lines = [HEAD, *_table(contract), "", "## Beside them", ""]
    lines += ["Reported where none of the codes above stands for the difference, never instead of one.", ""]
    return "\n".join([*lines, *_table(more)]) + "\n"


def _table(codes: list[Code]) -> list[str]:
    rows = [
        f"| `{code.code}` | {code.verdict} | {code.definition} | `{code.example}` | {code.cause} |" for code in codes
    ]
    return [
        "| code | verdict | reported when | message, for example | cause |",
        "|---|---|---|---|---|",
        *rows,
    ]


def test_the_page_says_what_the_code_says() -> None:
    assert PAGE.read_text("utf-8") == page(), "run python -m tests.compare.test_codes_page"


def test_nothing_in_a_definition_breaks_the_table() -> None:
    for code in CODES.values():
        assert not set("|\n`") & set(code.definition + code.example), code.code


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
