"""The console script `spectralvision`: help, version and parsing, without torch and timm.

Importing a module of `spectralvision` runs `spectralvision/__init__.py`, which registers the models
with timm and takes seconds. This package is therefore a separate one, which imports only the
parser; `spectralvision.cli` is imported once a verb has to run.

    main.py             the console script
    quick_answers.py    what it answers itself: help, the version, errors in the words
    options/VERB.py     the options of a verb; its work is done in spectralvision/commands/VERB.py
    fields.py           option dataclasses -> options
    parser.py           words -> option dataclasses
    help_screens.py     option dataclasses -> help
    task_options.json   what tasks and recipes add to `train`, `evaluate` and `predict`
"""
