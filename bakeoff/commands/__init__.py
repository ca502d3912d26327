"""Commands that need nothing of the study; `bakeoff.cli` puts them under its roof."""
