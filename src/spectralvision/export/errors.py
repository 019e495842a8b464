"""Failures of converters in one sentence."""

import re

from spectralvision.export.base import Network, Target
from spectralvision.runs import UserError

MAX_CHARACTERS = 300
SUMMARY = "Summary:"
"""Before the short form of OpenVINO's messages."""
OPERATOR = re.compile(r"\b(?:aten|torchvision|prims|quantized)[.:]+[\w.]+|\btorch\.ops\.[\w.]+")


def conversion_error(error: Exception, target: Target, network: Network) -> UserError:
    """Return the converter's own words, shortened, with the operator's place in the network."""
    cause: BaseException = error
    while cause.__cause__ is not None and str(cause.__cause__):
        cause = cause.__cause__
    words = str(cause).rpartition(SUMMARY)[2].replace("\n--", ";").strip("; ")
    text = " ".join(words.split()) or type(cause).__name__
    if len(text) > MAX_CHARACTERS:
        text = f"{text[:MAX_CHARACTERS]} ..."
    place = _place_of(f"{error} {cause}", network)
    where = f" ({place})" if place else ""
    return UserError(
        f"{target.title} cannot take this model{where}; its converter says: {text.rstrip('.')}."
    )


def _place_of(text: str, network: Network) -> str | None:
    """Return the first module of the network that computes an operator named in a message."""
    names = {
        found.removeprefix("torch.ops.").replace("::", ".") for found in OPERATOR.findall(text)
    }
    if not names:
        return None
    try:
        nodes = network.export().run_decompositions().graph.nodes
    except Exception:  # the message is that of the export itself
        return None
    for node in nodes:
        operator = str(node.target)
        if any(operator == name or operator.startswith(f"{name}.") for name in names):
            stack = node.meta.get("nn_module_stack") or {}
            modules = [path for path, _ in stack.values() if path]
            return f"{operator} in {modules[-1]}" if modules else operator
    return None
