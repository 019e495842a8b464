"""The command `spectralvision VERB`: dispatch and exit codes.

The console script is `spectralvision_cli.main`, which imports this module once a verb has to run;
`python -m spectralvision.cli`, as with torchrun, is the same command. Results go to standard
output, everything else to standard error. Exit codes: 0 done, 1 some inputs were left out, 2 bad
input, 130 interrupted, 141 standard output was closed, 143 stopped by SIGTERM.
"""

import contextlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from spectralvision.commands import Command
from spectralvision.commands.analyze import Analyze
from spectralvision.commands.benchmark import Benchmark
from spectralvision.commands.compare import Compare
from spectralvision.commands.convert import Convert
from spectralvision.commands.demo import Demo
from spectralvision.commands.evaluate import Evaluate
from spectralvision.commands.export import Export
from spectralvision.commands.models import Models
from spectralvision.commands.predict import Predict
from spectralvision.commands.push import Push
from spectralvision.commands.token_labels import TokenLabels
from spectralvision.commands.train import Train
from spectralvision.engine.processes import interrupt_on_sigterm
from spectralvision.ops.tune_cpu import tune_cpu
from spectralvision.runs import SigtermInterrupt, UserError, printable
from spectralvision_cli.parser import PROG, UsageError, asks_for_help
from spectralvision_cli.quick_answers import answer, close_output, normalize

COMMANDS: dict[str, type[Command[Any]]] = {
    command.verb: command
    for command in (
        Models, Train, Evaluate, Predict, Convert, Export, Benchmark, Analyze, Compare, Demo,
        TokenLabels, Push,
    )
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    words = normalize(sys.argv[1:] if argv is None else argv)
    try:
        code = answer(words)
        if code is None:
            code = run(words)
        sys.stdout.flush()
        return code
    except (UsageError, UserError) as error:
        print(f"{PROG}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        is_sigterm = isinstance(stop, SigtermInterrupt)
        rest = f"; {printable(stop)}" if str(stop) else ""
        print(
            f"{PROG}: {'stopped by SIGTERM' if is_sigterm else 'interrupted'}{rest}",
            file=sys.stderr,
        )
        return 143 if is_sigterm else 130
    except BrokenPipeError:
        return close_output()
    except Exception as error:
        from spectralvision.engine.errors import classify_failure

        failure = classify_failure(error)
        if failure is None:
            raise
        print(f"{PROG}: error: {failure.sentence}.", file=sys.stderr)
        return 2


def run(words: Sequence[str]) -> int:
    """Run a verb, or print its help; return the exit code."""
    kind = COMMANDS[words[0]]
    if asks_for_help(words[1:]):
        print(kind.help(words[1:]), end="")
        return 0
    command = parse_command(words)
    tune_cpu()  # this process is the command's own
    # Libraries must not print into the result
    with contextlib.redirect_stdout(sys.stderr), interrupt_on_sigterm():
        result = command.run()
    if command.is_silent():
        return 0
    if command.options.json:
        print(json.dumps(result))
    else:
        command.show(result)
    sys.stdout.flush()
    return command.conclude(result)


def parse_command(words: Sequence[str]) -> Command[Any]:
    """Return the command that words stand for, ready to run.

    Raises:
        UsageError: An option is unknown, missing, or has no value or a wrong one.
        UserError: There is no such recipe or run.
    """
    verb, *rest = words
    return COMMANDS[verb](rest)


if __name__ == "__main__":
    sys.exit(main())
