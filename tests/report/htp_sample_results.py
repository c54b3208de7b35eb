"""Export results as the plugin hands them over, for eight architectures and most verdicts.

Counts are of the size that real exports have; nothing here is compared with a real export.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import convert

from pytest_htp.format.record import SCHEMA
from pytest_htp.report import model
from pytest_htp.report.html import render_pages
from pytest_htp.report.paths import parse_path
from pytest_htp.report.result import ExportResult, Incomplete, Report, Shard

Result = dict[str, Any]

TOOLCHAIN = {
    "onnx": "1.23.2",
    "onnx-ir": "1.1.0",
    "onnxscript": "0.7.2",
    "torch": "2.13.0",
    "transformers": "5.23.0",
}
ENVIRONMENT = {"python": "3.11.7", "platform": "linux", "pytest-htp": "0.1.0", "toolchain": TOOLCHAIN}
STEPS = (
    "model_preparation",
    "input_generation",
    "hierarchy_building",
    "model_tracing",
    "onnx_export",
    "node_tagging",
    "model_save",
    "export_complete",
)


def build_report(
    results: Iterable[Result],
    environment: Mapping[str, Any],
    *,
    notes: Sequence[str] = (),
    incomplete: Iterable[Mapping[str, Any]] = (),
    shard: Shard | None = None,
) -> Report:
    """The report of results as plain dicts, which these tests change by hand."""
    entries = [convert(entry, Incomplete) for entry in incomplete]
    made = convert([*results], list[ExportResult])
    return model.build_report(made, environment, notes=notes, incomplete=entries, shard=shard)


def row(path: str, cls: str, ops: dict[str, int], weights: dict[str, int] | None = None, **more: Any) -> Result:
    """One record row whose nodes are all direct."""
    nodes = sum(ops.values())
    return {
        "path": path,
        "class": cls,
        "calls": 1,
        "nodes": nodes,
        "ops": ops,
        "dtypes": {"FLOAT": nodes} if nodes else {},
        "evidence": {"direct": nodes} if nodes else {},
        "weights": weights or {},
        "fingerprint": hashlib.sha256(f"{cls}{ops}".encode("utf-8", "surrogatepass")).hexdigest()[:12],
        **more,
    }


def _linear(path: str, size: int) -> Result:
    return row(path, "Linear", {"MatMul": 1, "Add": 1}, {"FLOAT": size})


def _norm(path: str, cls: str = "LayerNorm") -> Result:
    return row(path, cls, {"LayerNormalization": 1}, {"FLOAT": 6144})


def encoder_rows(root: str, layer: str, prefix: str, layers: int) -> list[Result]:
    """Rows of a BERT-like encoder with ``layers`` identical layers, folded."""
    at = f"{prefix}.layer.{{0..{layers - 1}}}"
    return [
        row("", root, {"Cast": 2, "Where": 1, "Unsqueeze": 2, "Constant": 3}),
        row("embeddings", f"{layer}Embeddings", {"Add": 2, "Slice": 1}),
        row("embeddings.word_embeddings", "Embedding", {"Gather": 1}, {"FLOAT": 93_763_584}),
        row("embeddings.position_embeddings", "Embedding", {"Gather": 1}, {"FLOAT": 1_572_864}),
        _norm("embeddings.LayerNorm"),
        row("embeddings.dropout", "Dropout", {}),
        row(prefix, f"{layer}Encoder", {}),
        row(at, f"{layer}Layer", {}),
        row(f"{at}.attention", f"{layer}Attention", {}),
        row(
            f"{at}.attention.self",
            f"{layer}SelfAttention",
            {"MatMul": 2, "Transpose": 4, "Softmax": 1, "Mul": 1},
        ),
        _linear(f"{at}.attention.self.query", 2_362_368),
        _linear(f"{at}.attention.self.key", 2_362_368),
        _linear(f"{at}.attention.self.value", 2_362_368),
        _linear(f"{at}.attention.output.dense", 2_362_368),
        _norm(f"{at}.attention.output.LayerNorm"),
        row(f"{at}.intermediate.act", "GELUActivation", {"Gelu": 1}),
        _linear(f"{at}.intermediate.dense", 9_449_472),
        _linear(f"{at}.output.dense", 9_440_256),
        row("pooler", f"{layer}Pooler", {"Gather": 1}),
        _linear("pooler.dense", 2_362_368),
    ]


def resnet_rows() -> list[Result]:
    """Rows of a small ResNet; convolutions are fused with their batch norms."""
    rows = [row("", "ResNetModel", {}), row("embedder.pooler", "MaxPool2d", {"MaxPool": 1})]
    conv = row("embedder.embedder.convolution", "Conv2d", {"Conv": 1}, {"FLOAT": 37_632})
    rows.append({**conv, "evidence": {"fused": 1}})
    for stage, width in enumerate((64, 128, 256, 512)):
        path = f"encoder.stages.{stage}.layers.{{0..1}}"
        rows.append(row(path, "ResNetBasicLayer", {"Add": 1, "Relu": 1}))
        inner = row(f"{path}.layer.{{0..1}}.convolution", "Conv2d", {"Conv": 1}, {"FLOAT": 36 * width * width})
        rows.append({**inner, "evidence": {"fused": 1}})
    return rows


def record(rows: list[Result], cls: str, exporter: str = "transformers", **more: Any) -> Result:
    """A whole record around the rows."""
    times = [parse_path(item["path"]).count for item in rows]
    nodes = sum(item["nodes"] * n for item, n in zip(rows, times, strict=True))
    fused = sum(item["evidence"].get("fused", 0) * n for item, n in zip(rows, times, strict=True))
    stored = sum(sum(item["weights"].values()) * n for item, n in zip(rows, times, strict=True))
    return {
        "schema": SCHEMA,
        "model": {
            "class": cls,
            "exporter": exporter,
            "modules": 48,
            "executed": 40,
            "parameters": stored // 4,
        },
        "toolchain": dict(TOOLCHAIN),
        "opset": {"": 18},
        "inputs": [
            {"name": "input_ids", "dtype": "INT64", "dims": ["d0", "d1"]},
            {"name": "attention_mask", "dtype": "INT64", "dims": ["d0", "d1"]},
        ],
        "outputs": [{"name": "last_hidden_state", "dtype": "FLOAT", "dims": ["d0", "d1", 768]}],
        "graph": {"nodes": nodes},
        "weights": {
            "parameters": {"count": 39, "bytes": stored, "dtypes": {"FLOAT": 39}},
            "initializers": {"count": 60, "bytes": stored, "dtypes": {"FLOAT": 40, "INT64": 20}},
            "kept": True,
            "tied": [],
            "tied_apart": [],
            "duplicates": [],
        },
        "coverage": coverage(nodes - fused, fused, 0, 0),
        "attestation": {
            "measured": True,
            "attested": max(sum(times) - 2, 0),
            "contradicted": [],
            "unmatched": [{"module": "embeddings.dropout", "reason": "pass-through"}],
        },
        "parity": {
            "measured": True,
            "outputs": [{"name": "last_hidden_state", "max_abs": "1e-05", "max_rel": "1e-04"}],
            "first_divergence": None,
            "failed": [],
        },
        "modules": rows,
        "untagged": {"nodes": 0, "ops": {}},
        **more,
    }


def coverage(direct: int, fused: int, inferred: int, none: int) -> Result:
    """A coverage block with its percentages."""
    total = direct + fused + inferred + none
    return {
        "total_nodes": total,
        "direct": direct,
        "fused": fused,
        "inferred": inferred,
        "none": none,
        "coverage": round(100 * (total - none) / total, 2) if total else 100.0,
        "direct_coverage": round(100 * direct / total, 2) if total else 100.0,
        "root_share": 8.6,
    }


def finding(code: str, verdict: str, module: str | None, message: str, before: Any = None, after: Any = None) -> Result:
    """One finding (docs/reference/codes.md)."""
    return {
        "code": code,
        "verdict": verdict,
        "module": module,
        "message": message,
        "before": before,
        "after": after,
    }


CONSOLE_HTML = (
    '<pre><span style="color: #008000; text-decoration-color: #008000; font-weight: bold">'
    'STEP 5/8: onnx export</span>\n├── <span style="color: #008080">encoder</span> '
    '<span style="color: #7f7f7f">(BertEncoder)</span>\n└── '
    '<span style="color: #800000">1 node without evidence</span>'
    "\n</pre>"
)


def result(test: str, today: Result | None, before: Result | None = None, **more: Any) -> Result:
    """An export result; with a ``before`` it was compared."""
    nodeid = more.pop("nodeid", f"tests/test_models.py::{test}")
    item: Result = {
        "nodeid": nodeid,
        "name": test,
        "file": "tests/test_models.py",
        "line": 12,
        "verdict": "unchanged",
        "outcome": "passed",
        "fail_on": "drift",
        "findings": [],
        "coverage": today and today["coverage"],
        "coverage_before": before and before["coverage"],
        "parity": today and today["parity"],
        "attestation": today and today["attestation"],
        "steps": {
            name: {"status": "completed", "seconds": seconds}
            for name, seconds in zip(STEPS, (0.11, 0.02, 0.43, 1.21, 2.04, 0.31, 0.22, 0.01), strict=True)
        },
        "seconds": 4.35,
        "nodes": today and today["graph"]["nodes"],
        "bytes": today and today["weights"]["initializers"]["bytes"],
        "baseline": f"tests/__htp_baselines__/test_models/{test.split('[')[0]}-1a2b3c4d.json",
        "baseline_status": "unchanged" if before else "missing",
        "record": today,
        "before": before,
        "artifacts": f"exports/{test.split('[')[0]}-1a2b3c4d",
        "shared_with": None,
        "console": "STEP 5/8: onnx export\n├── encoder (BertEncoder)\n└── done\n",
        "console_html": CONSOLE_HTML,
        "commands": {
            "reproduce": f"pytest '{nodeid}'",
            "accept": f"pytest '{nodeid}' --snapshot-update",
        },
        "error": None,
    }
    item.update(more)
    return item


def _regressed_bert() -> Result:
    before = record(encoder_rows("BertModel", "Bert", "encoder", 12), "BertModel")
    rows = encoder_rows("BertModel", "Bert", "encoder", 12)
    at = "encoder.layer.{0..11}.intermediate.act"
    position = next(i for i, item in enumerate(rows) if item["path"] == at)
    rows[position] = row(
        at, "GELUActivation", {"Erf": 1, "Mul": 2, "Add": 1, "Div": 1}, evidence={"direct": 4, "inferred": 1}
    )
    today = record(rows, "BertModel", coverage=coverage(288, 1, 14, 2), untagged={"nodes": 2, "ops": {"Identity": 2}})
    today["toolchain"] = {**TOOLCHAIN, "torch": "2.14.0", "onnxscript": "0.7.3"}
    today["graph"]["nodes"] += 2
    today["parity"]["outputs"][0]["max_abs"] = "1e-04"
    today["attestation"] = {
        **today["attestation"],
        "attested": today["attestation"]["attested"] - 12,
        "contradicted": [at],
    }
    return result(
        "test_bert[base]",
        today,
        before,
        verdict="regression",
        outcome="failed",
        baseline_status="changed",
        findings=[
            finding(
                "toolchain.changed",
                "info",
                None,
                "torch 2.13.0 → 2.14.0, onnxscript 0.7.2 → 0.7.3: the likely cause",
            ),
            finding(
                "fusion.lost",
                "regression",
                at,
                "Gelu is no longer one node: it became Erf, Mul, Add, Div",
                {"Gelu": 1},
                None,
            ),
            finding(
                "ops.changed",
                "drift",
                at,
                "5 nodes instead of 1",
                {"Gelu": 1},
                {"Add": 1, "Div": 1, "Erf": 1, "Mul": 2},
            ),
            finding("coverage.dropped", "regression", None, "coverage fell from 100% to 98.95%", 100.0, 98.95),
        ],
    )


def _broken_llama() -> Result:
    before = record(encoder_rows("LlamaModel", "Llama", "model", 32), "LlamaForCausalLM")
    today = copy.deepcopy(before)
    today["inputs"][0]["dims"] = [1, "d1"]
    today["modules"] = [item for item in today["modules"] if not item["path"].startswith("pooler")]
    today["modules"].append(row("rotary_emb", "LlamaRotaryEmbedding", {"Cos": 1, "Sin": 1, "Concat": 1}))
    today["opset"] = {"": 20}
    return result(
        "test_llama[meta-llama/Llama-3-8B]",
        today,
        before,
        verdict="breaking",
        outcome="failed",
        baseline_status="changed",
        findings=[
            finding("io.dim_fixed", "breaking", None, "input_ids: axis 0 is now the constant 1", "d0", 1),
            finding("opset.changed", "breaking", None, "default opset 18 → 20", 18, 20),
            finding("module.removed", "drift", "pooler", "LlamaPooler no longer runs", "LlamaPooler", None),
            finding(
                "module.added",
                "drift",
                "rotary_emb",
                "LlamaRotaryEmbedding is new",
                None,
                "LlamaRotaryEmbedding",
            ),
        ],
    )


def sample_results() -> list[Result]:
    """Eleven exports: breaking, regression, drift, improvement, unchanged, missing, failed, shared."""
    vit = record(encoder_rows("ViTModel", "ViT", "encoder", 12), "ViTModel")
    vit_today = record(encoder_rows("ViTModel", "ViT", "encoder", 10), "ViTModel")
    resnet = record(resnet_rows(), "ResNetModel", "torch")
    gpt_before = record(encoder_rows("GPT2Model", "GPT2", "h", 12), "GPT2LMHeadModel")
    gpt_before["coverage"] = coverage(80, 5, 0, 9)
    gpt = record(encoder_rows("GPT2Model", "GPT2", "h", 12), "GPT2LMHeadModel")
    t5 = record(encoder_rows("T5Model", "T5", "encoder", 6), "T5Model")
    t5["parity"] = {"measured": False, "reason": "onnxruntime is not installed"}
    t5["attestation"] = {"measured": False, "reason": "onnxruntime is not installed"}
    clip = record(encoder_rows("CLIPModel", "CLIP", "vision_model.encoder", 12), "CLIPModel")
    whisper_steps = {
        "model_preparation": {"status": "completed", "seconds": 0.1},
        "input_generation": {"status": "completed", "seconds": 0.02},
        "hierarchy_building": {"status": "completed", "seconds": 0.4},
        "model_tracing": {"status": "failed", "seconds": 2.2},
    }
    return [
        _regressed_bert(),
        _broken_llama(),
        result(
            "test_vit",
            vit_today,
            vit,
            verdict="drift",
            outcome="failed",
            baseline_status="changed",
            findings=[finding("module.removed", "drift", "encoder.layer.{10,11}", "2 of 12 ViTLayer are gone", 12, 10)],
        ),
        result("test_resnet[18]", resnet, resnet),
        result("test_resnet[34]", resnet, resnet, shared_with="tests/test_models.py::test_resnet[18]"),
        result(
            "test_gpt2",
            gpt,
            gpt_before,
            verdict="improvement",
            baseline_status="changed",
            findings=[
                finding("coverage.improved", "improvement", None, "coverage rose from 90.43% to 100%", 90.43, 100)
            ],
        ),
        result("test_t5_encoder", t5, None, outcome="failed"),
        result("test_clip", clip, clip),
        result(
            "test_whisper",
            None,
            None,
            verdict="breaking",
            outcome="failed",
            baseline_status="off",
            artifacts=None,
            seconds=2.72,
            steps=whisper_steps,
            error={
                "step": "model_tracing",
                "type": "RuntimeError",
                "message": "Cannot view a tensor with shape torch.Size([1, 80, s72]) as (1, -1, 3000)",
            },
            findings=[
                finding(
                    "step.failed",
                    "breaking",
                    None,
                    "model tracing raised RuntimeError",
                    None,
                    "model_tracing",
                )
            ],
        ),
        result("test_distilbert", clip, clip),
        result("test_mobilebert[a|b]", clip, clip),
    ]


HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "\x1b[31mred\x1b[0m\x07\x9b2J",
    "user\u202egnp.exe\u2066\u200f",
    "`code` | cell | @octocat #1 *bold* [x](javascript:alert(1)) https://evil.example <!-- x -->",
    "line\n::error file=x::owned\r\n##[error]owned\n# heading",
    "{{ 7*7 }}{% raw %}",
    "\ud800",
    "x" * 5_000,
    ".".join("deep" for _ in range(1_000)),
)


def hostile_results() -> list[Result]:
    """One changed export per hostile string, which is then the name of everything that has one."""
    results = []
    for text in HOSTILE:
        rows = [row("", text, {"Add": 1}), row(text, text, {text: 2}, {"FLOAT": 8})]
        today = record(rows, text)
        today["inputs"][0]["name"] = text
        today["toolchain"] = {**TOOLCHAIN, text: text}
        before = record([row("", "Model", {"Add": 1}), row(text, "Other", {"Mul": 1})], "Model")
        results.append(
            result(
                text,
                today,
                before,
                nodeid=f"tests/{text}.py::{text}",
                file=f"tests/{text}.py",
                verdict="breaking",
                outcome="failed",
                baseline_status="changed",
                baseline=text,
                artifacts=f"exports/../{text}",
                console=text,
                console_html=f"<pre>{text}</pre>",
                error={"step": text, "type": text, "message": text},
                findings=[finding("ops.changed", "breaking", text, f"{text} changed", text, {text: text})],
            )
        )
    return results


def large_results(exports: int, nodes: int, rows: int) -> list[Result]:
    """Changed exports with ``rows`` unfolded rows that share out ``nodes`` nodes, and a log of 400 lines."""
    each, extra = divmod(nodes, rows)
    kinds = ("MatMul", "Add", "Mul", "Transpose", "Reshape", "Softmax")
    layout = [
        row(
            "" if i == 0 else f"encoder.{chr(97 + i % 7)}block.{'abcdefgh'[i // 7 % 8]}.part{chr(97 + i // 56 % 26)}x",
            f"Module{i % 12}",
            dict.fromkeys(kinds[: max(1, min(each, 6))], 1) | {"Add": each + (i < extra) - max(0, min(each, 6) - 1)},
            {"FLOAT": 4_096 * (i + 1)},
        )
        for i in range(rows)
    ]
    for i, item in enumerate(layout[1:], 1):
        item["path"] += f".m{i}"
    today = record(layout, "LargeModel")
    before = copy.deepcopy(today)
    for item in before["modules"][::20]:
        item["ops"]["Cast"] = 2
        item["fingerprint"] = "0" * 12
    log = "<pre>{}</pre>".format(
        "\n".join(f'<span style="color: #008080">│  ├── module.{i}</span> <span>{i}</span>' for i in range(400))
    )
    return [
        result(
            f"test_large[{number}]",
            today,
            before,
            verdict="drift",
            outcome="failed",
            baseline_status="changed",
            console_html=log,
            findings=[
                finding("ops.changed", "drift", item["path"], "2 Cast are gone", {"Cast": 2}, None)
                for item in before["modules"][::20]
            ],
        )
        for number in range(exports)
    ]


def first_page(report: Report) -> str:
    """The text of index.html."""
    return next(render_pages(report))[1]
