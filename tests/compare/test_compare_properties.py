"""What holds for any records: equal ones have no finding, any two compare, and nothing is mutated."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_htp.compare.engine import compare_exports
from pytest_htp.compare.finding import finding_order
from pytest_htp.compare.verdicts import VERDICTS
from pytest_htp.errors import HTPUsageError
from pytest_htp.format.paths import expand_pattern
from tests.compare._records import Record, bert, record_of, row

OPS = ["Add", "MatMul", "Cast", "If", "Gelu", "Attention", "Shape", "Reshape"]
DTYPES = ["FLOAT", "DOUBLE", "INT64", "BOOL"]
counts = st.integers(0, 9)
names = st.sampled_from(["0", "1", "2", "10", "a", "b", "{0..1}", "50%", "\x1b[31m"])
paths = st.lists(names, min_size=1, max_size=4).map(".".join) | st.just("")


@st.composite
def rows(draw: st.DrawFn, path: str) -> dict[str, Any]:
    ops = draw(st.dictionaries(st.sampled_from(OPS), st.integers(1, 9), max_size=3))
    nodes = sum(ops.values())
    direct = draw(st.integers(0, nodes))
    evidence = {"direct": direct, "inferred": nodes - direct}
    return row(
        path,
        draw(st.sampled_from(["Linear", "Block"])),
        ops,
        dtypes=draw(st.dictionaries(st.sampled_from(DTYPES), st.integers(1, 9), max_size=2)),
        evidence={kind: count for kind, count in evidence.items() if count},
        weights=draw(st.dictionaries(st.sampled_from(DTYPES), st.integers(1, 9999), max_size=2)),
        fingerprint=draw(st.sampled_from(["x", "y", None])),
    )


tensors = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from("abcd"),
            "dtype": st.sampled_from(DTYPES),
            "dims": st.none()
            | st.lists(st.none() | st.integers(0, 3) | st.sampled_from(["d0", "d1", "batch"]), max_size=3),
        }
    ),
    max_size=4,
)
decades = st.sampled_from(["0", "1e-08", "1e-06", "1e-01", "inf"])


@st.composite
def records(draw: st.DrawFn) -> Record:
    drawn = [draw(rows(path)) for path in draw(st.lists(paths, max_size=8, unique=True))]
    record = record_of(drawn, untagged=draw(st.dictionaries(st.sampled_from(OPS), st.integers(1, 4), max_size=2)))
    record["inputs"], record["outputs"] = draw(tensors), draw(tensors)
    record["opset"] = draw(st.dictionaries(st.sampled_from(["", "ai.onnx", "com.acme"]), st.integers(17, 24)))
    record["weights"]["tied"] = draw(st.lists(st.lists(paths.map("{}.weight".format), max_size=3), max_size=2))
    record["parity"]["outputs"] = [{"name": "a", "max_abs": draw(decades), "max_rel": draw(decades)}]
    return record


@given(records())
def test_a_record_has_no_findings_against_itself(record: Record) -> None:
    assert compare_exports(record, copy.deepcopy(record)).findings == ()


@settings(max_examples=100)
@given(records(), records())
def test_any_two_records_compare(before: Record, after: Record) -> None:
    originals = copy.deepcopy((before, after))
    result = compare_exports(before, after)
    assert (before, after) == originals
    assert json.loads(json.dumps(result.to_dict())) == result.to_dict()
    assert list(result.findings) == sorted(result.findings, key=finding_order)
    assert compare_exports(before, after) == result
    if _told(before) != _told(after):
        assert result.findings  # nothing differs in silence
    known = {path for record in originals for item in record["modules"] for path in expand_pattern(item["path"])}
    for finding in result.findings:
        assert finding.verdict in VERDICTS
        if finding.module is not None and finding.code not in ("weights.untied", "weights.duplicated"):
            assert any(path in known or not path for path in expand_pattern(finding.module)) or any(
                other.startswith(f"{expand_pattern(finding.module)[0]}.") for other in known
            )


def _told(record: Record) -> list[dict[str, Any]]:
    """Module rows without what may be unknown (a fingerprint of None), which is no difference."""
    return [{key: value for key, value in row.items() if key != "fingerprint"} for row in record["modules"]]


@pytest.mark.parametrize("bad", [None, [], {}, {"schema": "pytest-htp/baseline/2"}, bert() | {"modules": 3}])
def test_no_record_is_a_usage_error_that_says_which(bad: Any) -> None:
    with pytest.raises(HTPUsageError, match="baseline:"):
        compare_exports(bad, bert())
    with pytest.raises(HTPUsageError, match="current:"):
        compare_exports(bert(), bad)


@pytest.mark.parametrize("key", [1, None, (1, 2), b"bytes"])
@pytest.mark.parametrize("section", [None, "model", "graph", "weights", "untagged", "coverage", "opset"])
def test_a_key_that_is_no_text_is_a_usage_error(section: str | None, key: Any) -> None:
    odd = bert()
    (odd if section is None else odd[section])[key] = 1
    with pytest.raises(HTPUsageError, match=f"a key of {section or 'the record'} must be a string"):
        compare_exports(odd, bert())
    with pytest.raises(HTPUsageError, match="current: a key of"):
        compare_exports(bert(), odd)


@pytest.mark.parametrize("options", [{"coverage_tolerance": -1}, {"min_coverage": 101}, {"min_coverage": "x"}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(HTPUsageError, match="from 0 to 100"):
        compare_exports(bert(), bert(), **options)
