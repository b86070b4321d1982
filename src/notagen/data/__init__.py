"""From a prepared corpus to packed batches: one LightningDataModule a stage."""
