"""The form in which class names are stored and compared."""

import unicodedata


def normalize_class(name: object) -> str:
    """Return a class name in Unicode's composed form (NFC); macOS stores the decomposed one."""
    return unicodedata.normalize("NFC", str(name))
