"""Reports: report.json, index.html, summary.md, annotations, the terminal summary.

Nothing here imports torch, onnx, rich or numpy; jinja2 is imported where HTML is drawn.
"""
