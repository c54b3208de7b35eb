"""Keep onnxscript's rewriter linear in the size of the graph.

``SimplePatternMatcher.match`` (onnxscript 0.7, ``rewriter/_matcher.py``) collects all nodes of the graph for every node
it looks at when a rule's pattern has several output nodes, and only then finds that the node is of another operator
than the pattern's first output. That makes optimization quadratic: for the config of an 8-billion-parameter decoder
without weights more than half of the whole export. A node of another operator can't match, so it is refused before the
collecting; what does match, and in which order, is unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_htp.capture.state import wrapped

if TYPE_CHECKING:
    import onnx_ir as ir
    from onnxscript.rewriter._basics import MatchResult
    from onnxscript.rewriter._matcher import SimplePatternMatcher


@contextmanager
def linear_matching() -> Iterator[None]:
    """Refuse early while the block runs; does nothing where onnxscript is built differently."""
    with wrapped("onnxscript.rewriter._matcher", "SimplePatternMatcher.match", _refusing_early):
        yield


def _refusing_early(original: Callable[..., MatchResult]) -> Callable[..., MatchResult]:
    from onnxscript.rewriter._basics import MatchResult

    def match(
        self: SimplePatternMatcher,
        model: ir.Model,
        graph_or_function: ir.Graph | ir.Function,
        node: ir.Node,
        **options: object,
    ) -> MatchResult:
        pattern = self.pattern
        if not pattern.has_single_output_node and not options.get("verbose") and options.get("tracer") is None:
            expected = pattern.output_nodes[0].op_identifier()
            if expected is not None and tuple(expected)[:2] != (node.domain, node.op_type):
                return MatchResult().fail("The node is of another operator than the pattern's first output.")
        return original(self, model, graph_or_function, node, **options)

    return match
