"""The training loop: updates, checkpoints, evaluations and the report of a run."""
