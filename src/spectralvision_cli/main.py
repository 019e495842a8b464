"""The console script."""

import sys
from collections.abc import Sequence

from spectralvision_cli.parser import PROG, UsageError
from spectralvision_cli.quick_answers import answer, close_output, normalize


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, as `spectralvision.cli.main` does.

    That module imports torch and timm, and is imported only where there is no quick answer.
    """
    words = normalize(sys.argv[1:] if argv is None else argv)
    try:
        code = answer(words)
        if code is not None:
            sys.stdout.flush()
            return code
        from spectralvision.cli import main as run
    except UsageError as error:
        print(f"{PROG}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{PROG}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return close_output()
    return run(words)
