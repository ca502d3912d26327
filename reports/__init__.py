"""Reports: from the records of a study to one page. Reads records only, imports no torch."""
