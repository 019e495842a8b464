"""Readers and batches. Imports nothing of the model side."""
