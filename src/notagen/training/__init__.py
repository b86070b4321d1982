"""What every stage takes from Lightning: callbacks, checkpoints, optimizers, FSDP."""
