"""The command line, `tamis COMMAND`: commands live in `tamis.commands`, errors become one line and an exit code."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from tamis import __version__
from tamis.commands import COMMANDS
from tamis.display import printable
from tamis.errors import Interrupted, TamisError, UserError

#: Exit codes.
DONE, SOME_FAILED, WRONG_USE, STOPPED = 0, 1, 2, 130

#: What the system refuses: the disk is full or read-only, a file may not be read or is not there.
_SYSTEM_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR}

_EPILOG = """\b
Begin with
  tamis demo                   the whole job on an embedded market place
  tamis init cars              a project of your own, in the folder `cars`
  tamis run --project cars     all that is pending, from listing pages to labels
"""


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class _InOrder(click.Group):
    """Lists the commands in the order of the work."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        return list(self.commands)


@click.group(cls=_InOrder, epilog=_EPILOG, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="tamis")
def cli() -> None:
    """From a listing site to a clean, labelled image data set, the model trained on it, and the proof of origin."""


for command in COMMANDS:
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 some rows failed, 2 wrong use or input, 130 stopped by the user."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = None if arguments is None else list(arguments)
    try:
        code = cli.main(args=given, prog_name="tamis", standalone_mode=False)
    except click.exceptions.Exit as ending:
        code = ending.exit_code
    except click.ClickException as error:
        error.show()
        code = WRONG_USE
    except (click.Abort, KeyboardInterrupt):
        code = _complain("stopped", STOPPED)
    except TamisError as error:
        code = _explain(error)
    except BrokenPipeError:
        code = DONE
    except OSError as error:
        if error.errno not in _SYSTEM_ERRORS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        code = _complain(f"{where}{error.strerror}", WRONG_USE)
    return code if isinstance(code, int) else DONE


def _explain(error: TamisError) -> int:
    match error:
        case Interrupted():
            return _complain(f"{error}; {error.then}", STOPPED)
        case UserError():
            return _complain(str(error), WRONG_USE)
        case _:
            return _complain(str(error), SOME_FAILED)


def _complain(line: str, code: int) -> int:
    click.echo(f"tamis: {printable(line)}", err=True)
    return code
