"""From score files to a prepared corpus: sources, cleaning, duplicates, splits, storage."""
