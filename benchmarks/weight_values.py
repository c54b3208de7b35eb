"""Does what weights hold, or that there are none, make a finding? Every bundled model, its states compared in pairs.

    python benchmarks/weight_values.py [--only NAME ...] [--dynamic]

``distinct`` weights are those that pytest-htp gives a model made from its config, ``fresh`` ones as the class
initialises them (biases of zero, norms of one), ``perturbed`` ones these with noise of 30%, ``trained`` ones these
after five steps of AdamW on a model in training mode, ``none`` is an export without weights. Every state is a baseline
of every other. Prints one line of JSON for each model. Expected: no finding.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import itertools
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from torch import nn
from torch.utils import _pytree as pytree

from fixtures import config_dir, config_names
from fixtures.plain import MODELS
from pytest_htp import HTPExporter, compare_exports
from pytest_htp.capture.inputs.prepare import make_inputs
from pytest_htp.capture.models import resolve_model
from pytest_htp.capture.state import seeded


def states(name: str) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """State → what is exported in it, and the inputs of all."""
    if name in MODELS:
        source: Any = MODELS[name].make
        distinct = MODELS[name].make()
        with seeded(0):
            fresh = MODELS[name].module()
        inputs = MODELS[name].inputs()
    else:
        source = config_dir(name)
        distinct = resolve_model(source).module
        with seeded(0):
            fresh = type(distinct)._from_config(copy.deepcopy(distinct.config))  # type: ignore[operator]
        inputs = dict(make_inputs(distinct, None).named)
    perturbed, trained = copy.deepcopy(fresh), copy.deepcopy(fresh)
    generator = torch.Generator().manual_seed(1)
    for parameter in perturbed.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data = parameter.data * (1 + 0.3 * noise) + 0.01 * noise
    made = {"distinct": distinct, "fresh": fresh, "perturbed": perturbed}
    with contextlib.suppress(RuntimeError):  # autograd refuses what some modules do in place
        train(trained, inputs)
        made["trained"] = trained
    return {**{state: model.eval() for state, model in made.items()}, "none": source}, inputs


def train(model: nn.Module, inputs: Mapping[str, Any]) -> None:
    model.train()
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(wanted, lr=1e-3) if wanted else None
    with seeded(2):
        for _ in range(5 if optimizer is not None else 0):
            given = {key: value.clone() for key, value in inputs.items()}
            leaves = [leaf for leaf in pytree.tree_leaves(_values(model(**given))) if isinstance(leaf, torch.Tensor)]
            loss = torch.stack([((leaf - 0.5) ** 2).mean() for leaf in leaves if leaf.requires_grad]).sum()
            optimizer.zero_grad()  # type: ignore[union-attr]
            loss.backward()
            optimizer.step()  # type: ignore[union-attr]


def _values(result: Any) -> Any:
    return list(result.values()) if isinstance(result, Mapping) else result


def records(name: str, dynamic: bool) -> dict[str, dict[str, Any]]:
    found = {}
    made, inputs = states(name)
    for state, model in made.items():
        weights = "none" if state == "none" else "real"
        with tempfile.TemporaryDirectory() as folder:
            exporter = HTPExporter(weights=weights, dynamic=dynamic, parity=False, verbose=False)
            found[state] = exporter.export(model, inputs, Path(folder) / "model.onnx").record
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[*config_names(), *MODELS])
    parser.add_argument("--dynamic", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    compared = count = 0
    for name in options.only:
        made = records(name, options.dynamic)
        told = []
        for before, after in itertools.permutations(made, 2):
            found = compare_exports(made[before], made[after]).findings
            told += [[before, after, each.code, each.module, each.message] for each in found]
            compared += 1
        count += len(told)
        print(
            json.dumps({"name": name, "dynamic": options.dynamic, "states": list(made), "findings": told}), flush=True
        )
    print(json.dumps({"benchmark": "weight_values", "compared": compared, "findings": count}))


if __name__ == "__main__":
    main()
