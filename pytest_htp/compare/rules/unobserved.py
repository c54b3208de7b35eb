"""evidence.unobserved: the exporter lacks a place that was watched when the baseline was made."""

from __future__ import annotations

from pytest_htp.compare.context import Context


def report_unobserved(context: Context) -> None:
    before, after = (record.unobserved for record in (context.before, context.after))
    unwatched = [place for place in after if place not in before]
    if unwatched:
        context.report(
            "evidence.unobserved",
            f"{', '.join(unwatched)} can no longer be watched: evidence that rests on it is missing or no longer "
            "direct; update pytest-htp for this version of the exporter",
            before=before,
            after=after,
        )
