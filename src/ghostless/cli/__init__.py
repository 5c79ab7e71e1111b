"""The command `ghostless`: reads its words, calls the library, prints one line where it fails.

Nothing heavy is imported at the top: `ghostless --help` must answer at once. Exit status: 0 done,
1 an error of ours, 2 something given that cannot be used, 130 interrupted.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

from ..errors import GhostlessError, OptionError

_INTERRUPTED = 130


def main(words: Sequence[str] | None = None) -> None:
    """Run the command with `words` (the process's own by default) and exit with its status."""
    _hush_libraries()
    status = run(sys.argv[1:] if words is None else words)
    if status == _INTERRUPTED:
        # An interrupted import makes CPython end itself by the signal whatever the status, and
        # worker threads would be waited for: all is cleaned up by now, so leave at once.
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def run(words: Sequence[str]) -> int:
    """Run the command and return its exit status; every failure is one line on standard error."""
    try:
        _check_words(words)
        # Imported here so that an interruption meanwhile is answered in one line too.
        # All of it stays: looking for garbage meanwhile takes a tenth of the time.
        gc.disable()
        try:
            from .commands import app
            from .lazy import command_of

            command = command_of(app)
        finally:
            gc.enable()
        if words and words[0] == "help":
            words = [*words[1:], "--help"]
        status = command.main(args=list(words), prog_name="ghostless", standalone_mode=False)
        sys.stdout.flush()
        if status == _INTERRUPTED:
            raise KeyboardInterrupt
        return status if isinstance(status, int) else 0
    except GhostlessError as error:
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return _fail("interrupted; no half-written file is left behind", _INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away; keep Python's shutdown from complaining about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if _is_usage_error(error):
            return _fail(_usage_in_words(error), 2)
        if os.environ.get("GHOSTLESS_TRACEBACK"):
            raise
        what = f"{type(error).__name__}: {error}".removesuffix(": ")
        return _fail(
            f"unexpected error: {what} (set GHOSTLESS_TRACEBACK=1 for the traceback; "
            "please report it)",
            1,
        )


def _check_words(words: Sequence[str]) -> None:
    """Refuse an empty word, which a path would take for the current folder."""
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if not word or (option.startswith("--") and equals and not value):
            after = f" after {words[place - 1]!r}" if not word and place else ""
            raise OptionError(
                f"expected a name or a value{after}, found an empty word"
                f"{f' ({word})' if word else ''}; give one, or leave the option out"
            )


def _fail(message: str, status: int) -> int:
    print("ghostless: " + " ".join(message.split("\n")), file=sys.stderr)
    return status


def _is_usage_error(error: Exception) -> bool:
    import typer

    # Typer's base of all usage errors lives under another name in each of its versions.
    return isinstance(error, typer.BadParameter.__mro__[1])


def _usage_in_words(error: Any) -> str:
    message = error.format_message().strip().rstrip(".").replace("\n", " ").replace("\t", "")
    command = error.ctx.command_path if error.ctx is not None else "ghostless"
    return f"{message[:1].lower()}{message[1:]} (see '{command} --help')"


def _hush_libraries() -> None:
    """Keep other people's remarks off standard error, and let a polite kill clean up."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    logging.getLogger().addHandler(logging.NullHandler())
    if not sys.warnoptions:
        import warnings

        warnings.simplefilter("ignore")
    if threading.current_thread() is threading.main_thread():
        with suppress(ValueError, OSError):
            signal.signal(signal.SIGTERM, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
