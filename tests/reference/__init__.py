"""Slow, obvious twins of the ops and mixers: loops, NumPy, double precision."""
