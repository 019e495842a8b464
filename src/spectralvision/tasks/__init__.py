"""What is put on a backbone: classification, and loading a model with its preprocessing."""
