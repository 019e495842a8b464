"""What a network is and costs: multiply-adds."""

from spectralvision.analysis.macs import count_macs

__all__ = ["count_macs"]
