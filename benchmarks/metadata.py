"""Metadata of 100,000 nodes: streamed, against ``json.dumps`` of the whole.

    python benchmarks/metadata.py [--nodes 100000]

Expected: at most 1 s, memory growth while writing at most 32 MiB.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from _measure import RssWatch, alternate, ratio, report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    from pytest_htp import HTPExportData, HTPExportMonitor, HTPExportStep, ModuleInfo

    modules = {f"layer.{i}": ModuleInfo(f"layer.{i}", "Layer", f"/Model/Layer.layer.{i}", i, 1) for i in range(8_000)}
    paths = list(modules)
    details = {
        f"node_{i}": {
            "op_type": "MatMul", "domain": "", "evidence": "direct", "rule": "recorded",
            "origins": [paths[i % len(paths)]], "graph": "", "call": 0,
        }
        for i in range(arguments.nodes)
    }  # fmt: skip
    tags = {name: modules[detail["origins"][0]].tag for name, detail in details.items()}
    data = HTPExportData(
        model_name="big", hierarchy=modules, total_nodes=arguments.nodes, tagged_nodes=tags, node_details=details
    )
    with tempfile.TemporaryDirectory() as folder:
        monitor = HTPExportMonitor(Path(folder) / "model.onnx", verbose=False)
        monitor.log_step(HTPExportStep.NODE_TAGGING, data)
        writer = monitor.metadata_writer

        def streamed() -> None:
            with (Path(folder) / "streamed.json").open("w", encoding="utf-8") as stream:
                stream.writelines(writer.chunks())

        def whole() -> None:
            (Path(folder) / "whole.json").write_text(json.dumps(writer.get_metadata()), encoding="utf-8")

        streamed()
        with RssWatch() as ours:
            streamed()
        with RssWatch() as theirs:
            whole()
        times = alternate(whole, streamed, arguments.rounds)
        same = json.loads((Path(folder) / "streamed.json").read_text(encoding="utf-8")) == writer.get_metadata()
        size = (Path(folder) / "streamed.json").stat().st_size
    report(
        {
            "benchmark": "metadata",
            "nodes": arguments.nodes,
            "file_mb": round(size / 2**20, 1),
            "seconds": round(min(times[1]), 3),
            "ratio_to_whole": round(ratio(*times), 3),
            "growth_mb": round(ours.growth / 2**20, 1),
            "growth_mb_whole": round(theirs.growth / 2**20, 1),
            "equal": same,
        }
    )


if __name__ == "__main__":
    main()
