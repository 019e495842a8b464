"""Share models: upload a run to the Hub with a model card, and convert the authors' checkpoints."""
