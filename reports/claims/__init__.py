"""The claims of the papers against the records of one study: figures, intervals, verdicts."""
