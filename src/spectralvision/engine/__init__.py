"""Training, inference, checkpoints and run records. Knows no task."""
