"""Compute what models cost: multiply-adds, speed and memory. Returns numbers; knows no run."""

from spectralvision.analysis.macs import count_macs

__all__ = ["count_macs"]
