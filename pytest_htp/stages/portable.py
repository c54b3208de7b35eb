"""What a baseline stores of a stage whose result depends on the machine.

``ort:all`` lays convolutions out in blocks as wide as the CPU's vector registers (operators of the domain
``com.microsoft.nchwc``), where the CPU has such and a convolution has enough channels for them. A baseline of it would
change with the machine. So what is stored is what the stage gives with that one optimizer (``NchwcTransformer``)
switched off; the file that ships, its tags and its checks are those of this machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx_ir as ir

_BLOCKED = "com.microsoft.nchwc"


def portable_model(stage: str, source: Path, made: ir.Model, extensions: Sequence[str]) -> ir.Model | None:
    """The graph to describe in place of ``made``, which ``stage`` made of ``source``; None: ``made`` itself.

    Its weights are in memory. ``extensions``: as of :func:`pytest_htp.stages.run_stage`.
    """
    if stage != "ort:all" or not any(node.domain == _BLOCKED for node in made.graph.all_nodes()):
        return None
    from pytest_htp.stages.built_in import MACHINE_DEPENDENT, optimize

    with TemporaryDirectory(prefix="htp-") as folder:
        path = Path(folder) / "portable.onnx"
        optimize("ALL", source, path, without=MACHINE_DEPENDENT, extensions=extensions)
        model = ir.load(path)
        ir.external_data.load_to_model(model)
    return model
