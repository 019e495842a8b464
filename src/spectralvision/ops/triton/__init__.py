"""Triton kernels under the ops of the same names; importing a module of this package needs Triton.

`ops/kernel_choice.py` decides where they run. State: tested in Triton's interpreter and compiled
for compute capability 9.0, not yet run on a GPU, so that no kernel is chosen; `benchmarks/gpu.py`
compares and times them where there is one.
"""
