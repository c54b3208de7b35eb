"""Why a module could not be attested: the whole vocabulary.

Where calls of a module differ, the last of these that applies is given.
"""

NO_TENSOR = "no tensor"
ROOT = "the root's own output"
PASS_THROUGH = "pass-through"
OVERWRITTEN = "overwritten in place"
CONSTANT = "constant"
ELSEWHERE = "same value elsewhere"
ABSENT = "not in the optimized graph"
UNLIKE = "no value of the graph is its result"
STORED = "folded into a constant"
BODY = "inside a control-flow body"
JOINED = "folded away by a rewrite, agrees jointly"
FOLDED = "folded away by a rewrite"
UNTAGGED = "made by a node without a tag"
UNSEEN = "made by a node of a module that was not seen running"
VALUES_DIFFER = "values differ"
REASONS = (
    NO_TENSOR, ROOT, PASS_THROUGH, OVERWRITTEN, CONSTANT, ELSEWHERE, ABSENT, UNLIKE, STORED, BODY, JOINED, FOLDED,
    UNTAGGED, UNSEEN, VALUES_DIFFER,
)  # fmt: skip
