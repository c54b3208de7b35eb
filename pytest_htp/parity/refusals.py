"""What ONNX Runtime refuses, as errors of our own; nothing here imports it."""

from __future__ import annotations

from pytest_htp.tagging.named import described, module_described, node_named_in
from pytest_htp.tagging.tagger import Tagging


class RuntimeRefused(RuntimeError):
    """ONNX Runtime does not load or run the model; the message holds the first line of what it says."""

    def located(self, tagging: Tagging) -> RuntimeRefused:
        """The same error, which names the module of the node that ONNX Runtime names."""
        facts = node_named_in(str(self), tagging)
        return self if facts is None else type(self)(f"{self} [{described(facts, tagging)}]")


class KernelMissing(RuntimeRefused):
    """The execution provider has no kernel for one of the model's operators at its type.

    ``said`` are ONNX Runtime's own words; they name a node, which has no place in a baseline.
    """

    said = ""

    def located(self, tagging: Tagging) -> KernelMissing:
        """The same error, with the module that the runtime's message leads to."""
        facts = node_named_in(self.said, tagging)
        if facts is None or facts.path is None:
            return self
        return KernelMissing(f"{self}, such as {module_described(facts.path, tagging)}")
