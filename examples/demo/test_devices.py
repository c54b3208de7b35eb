"""Would it run on an NPU? Compiled by the vendors' own compilers, without a device.

They are in the extras ``qnn`` and ``openvino``. On a platform without either of their wheels these tests are skipped,
without one of them the other is compiled for.
"""

from importlib.util import find_spec

import pytest

from fixtures import config_dir

TARGETS = [name for name, package in {"qnn": "onnxruntime_qnn", "openvino": "openvino"}.items() if find_spec(package)]

pytestmark = pytest.mark.skipif(
    not TARGETS, reason="no compiler of a device here: pip install 'pytest-htp[qnn,openvino]'"
)


@pytest.mark.parametrize("name", ["bert", "mixtral", "resnet"])
def test_quantized(htp_export, name):
    """In eight bits, as NPUs want it. QNN leaves the routing of Mixtral's experts to the CPU: the report says where."""
    htp_export(config_dir(name), stages=["int8:qdq"], targets=TARGETS)


@pytest.mark.parametrize("name", ["vit", "wav2vec2"])
def test_float(htp_export, name):
    """As exported."""
    htp_export(config_dir(name), targets=TARGETS)
