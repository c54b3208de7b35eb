"""From a tagged graph to the record: what an export's graph, modules and weights look like. No torch."""
