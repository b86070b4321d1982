"""From a prepared corpus to packed batches."""
