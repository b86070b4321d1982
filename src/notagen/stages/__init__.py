"""One LightningModule a stage, over one backbone."""
