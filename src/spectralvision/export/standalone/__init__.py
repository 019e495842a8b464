"""Code that exported models run with: NumPy, Pillow and one runtime, nothing of this package.

    run_RUNTIME.py      load a model: `load(folder, threads)` -> run, (B, 3, H, W) -> its outputs
    prepare_image.py    open an image, and make it the input of the model
    classify.py, ...    what to do with the outputs of a task, and the command line

`run.py` of a deployment folder is three of these files in one; see `assemble.py`. The same code
compares an exported file with PyTorch.
"""
