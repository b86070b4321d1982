"""Callbacks, checkpoints, optimizers, schedules, FSDP, sweeps: training, whatever the stage."""
