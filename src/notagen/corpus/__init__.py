"""From scores to a prepared corpus: sources, cleaning, duplicates, splits, storage."""
