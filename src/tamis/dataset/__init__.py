"""From labels to frozen data sets: gold, refinement, encoding, splits, snapshots and exports."""
