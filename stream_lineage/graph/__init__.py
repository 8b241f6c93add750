"""The lineage graph: one source of evidence a file, what they add up to, and questions to it."""
