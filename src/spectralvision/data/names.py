"""The form in which names of classes and files are stored and compared."""

import unicodedata


def normalize_name(name: object) -> str:
    """Return a name in Unicode's composed form (NFC); macOS stores the decomposed one."""
    return unicodedata.normalize("NFC", str(name))
