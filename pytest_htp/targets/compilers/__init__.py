"""Compilers as the worker process calls them: ``compile_graph(request) -> CompileAnswer``."""
