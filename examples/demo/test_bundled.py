"""The bundled models, each exported, tagged, compared with its reviewed baseline, and reported.

python -m tox run -e demo        # or: pytest examples/demo --htp-report
"""

import pytest

from fixtures import config_dir, config_names
from fixtures.plain import MODELS


@pytest.mark.parametrize("name", config_names())
def test_family(htp_export, name):
    """A transformers config: weights are made (seeded), inputs come from the config."""
    htp_export(config_dir(name))


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_dynamic(htp_export, name):
    """The same with every axis dynamic."""
    htp_export(config_dir(name), dynamic=True)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_plain(htp_export, name):
    """Plain modules, odd in one way each."""
    fixture = MODELS[name]
    htp_export(fixture.make(), fixture.inputs())
