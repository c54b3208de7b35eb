"""opset.changed and domain.added."""

from __future__ import annotations

from pytest_htp.compare.context import Context


def compare_opset(context: Context) -> None:
    before = {_domain(name): version for name, version in context.before.opset.items()}
    after = {_domain(name): version for name, version in context.after.opset.items()}
    old, new = before.get(""), after.get("")
    if old != new:
        context.report("opset.changed", f"opset {old} -> {new}", before=old, after=new)
    added = sorted(after.keys() - before.keys() - {""})
    if not added:
        return
    users: dict[str, set[str]] = {}
    for path, pair in list(context.open.items()):
        gained = {op for op, count in pair.change.ops.items() if count > 0}
        foreign = {op: domain for op in gained for domain in added if op.startswith((f"{domain}::", f"{domain}."))}
        for domain in foreign.values():
            users.setdefault(domain, set()).add(path)
        if foreign and foreign.keys() == gained and not pair.change.new_floats:
            context.claim(path)
    for domain in added:
        message = f"new operator domain {domain} {after[domain]}"
        modules: list[str | None] = [*sorted(users.get(domain, ()))]
        for module in modules or [None]:
            context.report("domain.added", message, module=module, after={domain: after[domain]})


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name
