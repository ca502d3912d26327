"""Head-to-head comparisons and what they need: suites, the matrix of cells, launchers."""
