"""The stages: one small file each. What a stage reads and writes stands in its declaration."""
