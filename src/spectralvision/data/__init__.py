"""Data sets, splits, samplers, transforms and loaders.

Imports nothing from models, engine or tasks.
"""
