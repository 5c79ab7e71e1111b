"""Processes that do what they are asked: what a file does to a decoder harms one of them alone.

Where the system can fork, processes come from a small server that has the libraries loaded, which
takes milliseconds each. It is reached by a socket without a name, hence nothing is left behind in
any folder, whoever ends by whatever signal: the server ends with the process that started it, and
what it forked with the server. Elsewhere every process starts from nothing, by `multiprocessing`.
`pool` does many jobs in them.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import multiprocessing
import os
import pickle
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Protocol

from ..errors import GhostlessError

# What children would load one by one else.
_PRELOADED: Final = (
    "ghostless.batch.consistent",
    "ghostless.batch.photos",
    "ghostless.batch.workers",
    "ghostless.methods.mertens",
)
# The system takes memory back from the process with the highest score first; ours may be 0..1000.
_OUT_OF_MEMORY_SCORE: Final = "600"
_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG of Linux
_NUMBER: Final = struct.Struct("<q")


@dataclass(frozen=True)
class Failure:
    """Why there is no answer.

    reason: one line. died: whether the process ended without a word, or had to be ended. killed:
    by the system or a person, rather than by a fault of its own. error: what the work raised, and
    where: its last lines of a traceback.
    """

    reason: str
    died: bool = False
    killed: bool = False
    error: Exception | None = field(default=None, compare=False, repr=False)
    where: str = field(default="", compare=False, repr=False)

    @property
    def expected(self) -> bool:
        """Whether the work itself says what was wrong, in words for whoever gave the job."""
        return isinstance(self.error, (GhostlessError, MemoryError))


@dataclass(frozen=True)
class Remark:
    """What work tells before it has its answer: the arguments that it called `tell` with."""

    said: tuple[Any, ...]


class Child(Protocol):
    """A process that does one job after the other.

    pid: its number; of one whose end is known, 0 or that of no process.
    """

    pipe: Connection
    pid: int

    def exit_code(self) -> int | None:
        """Wait for its end; the status, or minus the signal, or None where nobody knows."""
        ...

    def strike(self) -> None:
        """Have it end at once, whatever it does; does not wait for that."""
        ...

    def kill(self) -> None:
        """End it at once, whatever it does."""
        ...


def start_child(fresh: bool = False) -> Child:
    """Start a process that waits for jobs; `fresh` as in `do_apart`."""
    if fresh or not hasattr(os, "fork") or not sys.executable:
        return _Spawned()
    try:
        return _Forked(_server())
    except OSError:  # somebody ended the server
        _forget_server()
        return _Forked(_server())


def ask(child: Child, work: Callable[..., Any], *job: Any, remarks: bool = False) -> None:
    """Give a process a job; `work` is a function of a module. Paths mean the same as here.

    remarks: whether the work gets a function `tell` as its last argument, whose arguments come
    through the pipe as a Remark.
    """
    child.pipe.send((work, job, _folder_now(), remarks))


def _folder_now() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # somebody removed it
        return None


def answer_of(child: Child) -> Any:
    """The answer to its job, a Failure if there is none: then the process has ended."""
    try:
        return child.pipe.recv()
    except (EOFError, OSError):
        child.pipe.close()
        return _death(child.exit_code())


def _death(exit_code: int | None) -> Failure:
    if exit_code is None or exit_code >= 0:
        return Failure(f"its process ended with status {exit_code}", died=True)
    if exit_code == -signal.SIGKILL:
        return Failure("its process was killed, most likely for want of memory", True, True)
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return Failure(f"its process crashed ({name})", died=True)


# --- in the child --------------------------------------------------------------------------------


def _work(pipe: Connection) -> None:
    """Do the jobs that come through a pipe until its other end is gone; never returns."""
    # Interruptions are the business of whoever gave the jobs, and ends this process in its own way.
    with suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OUT_OF_MEMORY_SCORE)
    jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, jobs), daemon=True).start()
    try:
        while True:
            work, job, folder, remarks = jobs.get()
            if folder is not None and folder != _folder_now():
                with suppress(OSError):
                    os.chdir(folder)
            if remarks:
                job = (*job, _teller(pipe))
            pipe.send(_answer(work, job))
    finally:
        os._exit(1)


def _receive(pipe: Connection, jobs: queue.SimpleQueue[Any]) -> None:
    """Pass jobs on; when the other end is gone nobody waits for results: end the process."""
    try:
        while True:
            jobs.put(pipe.recv())
    finally:
        os._exit(0)


def _teller(pipe: Connection) -> Callable[..., None]:
    """A function that sends its arguments through a pipe, from any thread."""
    lock = threading.Lock()

    def tell(*said: Any) -> None:
        with lock:
            pipe.send(Remark(said))

    return tell


def _answer(work: Callable[..., Any], job: tuple[Any, ...]) -> Any:
    try:
        return work(*job)
    except GhostlessError as error:
        return Failure(one_line(str(error)), error=error)
    except MemoryError as error:
        return Failure("expected enough memory, found too little", error=error)
    except Exception as error:
        text = one_line(f"unexpected error: {type(error).__name__}: {error}")
        where = traceback.format_exc(limit=-6)
        return Failure(text, error=error if _travels(error) else None, where=where)


def _travels(error: Exception) -> bool:
    """Whether an error arrives at another process as it is."""
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:
        return False


def one_line(text: str) -> str:
    """A text with its lines joined.

    >>> one_line("a\\n  b")
    'a b'
    """
    return " ".join(text.split())


class _Spawned:
    """A process that starts from nothing."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        self.pid = self._process.pid or 0
        theirs.close()

    def exit_code(self) -> int | None:
        self._process.join()
        return self._process.exitcode

    def strike(self) -> None:
        self._process.kill()

    def kill(self) -> None:
        self.strike()
        self._process.join()
        self.pipe.close()


# --- the server that forks -----------------------------------------------------------------------


class _Forked:
    """A process that the server forked."""

    def __init__(self, server: _Server) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self._server = server
        self._code: int | None = None
        try:
            self.pid = server.fork(theirs.fileno())
        except BaseException:
            self.pipe.close()
            raise
        finally:
            theirs.close()

    def exit_code(self) -> int | None:
        if self.pid:
            # Until it was waited for, no other process gets its number.
            self._code, self.pid = self._server.wait_for(self.pid), 0
        return self._code

    def strike(self) -> None:
        if self.pid:
            with suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)

    def kill(self) -> None:
        self.strike()
        self.exit_code()
        self.pipe.close()


class _Server:
    """The server as seen by the process that it belongs to."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._lock = threading.Lock()
        self.owner = os.getpid()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from {__name__} import serve; serve({theirs.fileno()})"
        )
        with theirs, _deaf_to_interrupts():
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def fork(self, descriptor: int) -> int:
        """Fork a process that gets its jobs through a descriptor; return its number."""
        with self._conversation():
            socket.send_fds(self._control, [_NUMBER.pack(0)], [descriptor])
            return self._number()

    def wait_for(self, pid: int) -> int | None:
        """Wait for the end of a process; None if the server is gone."""
        with suppress(OSError), self._conversation():
            self._control.sendall(_NUMBER.pack(pid))
            return self._number()
        return None

    @contextmanager
    def _conversation(self) -> Iterator[None]:
        """A question and its answer; a server that owes an answer is of no use any more."""
        with self._lock:
            try:
                yield
            except BaseException:
                self._control.close()
                raise

    @property
    def usable(self) -> bool:
        """Whether this process may ask it."""
        return self.owner == os.getpid() and self._control.fileno() >= 0

    def _number(self) -> int:
        data = b""
        while len(data) < _NUMBER.size:
            piece = self._control.recv(_NUMBER.size - len(data))
            if not piece:
                raise ConnectionResetError("the server has ended")
            data += piece
        return int(_NUMBER.unpack(data)[0])

    def close(self) -> None:
        """End the server and what it forked."""
        self._control.close()
        if self.owner == os.getpid():
            self._process.kill()
            self._process.wait()


_the_server: _Server | None = None


def _server() -> _Server:
    global _the_server
    if _the_server is not None and not _the_server.usable:
        _forget_server()
    if _the_server is None:
        _the_server = _Server()
    return _the_server


def start_server() -> None:
    """Have the server load its libraries while something else is done."""
    if hasattr(os, "fork") and sys.executable:
        _server()


@atexit.register
def _forget_server() -> None:
    global _the_server
    if _the_server is not None:
        _the_server.close()
    _the_server = None


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let processes that are started meanwhile not hear the terminal's interrupts, ever.

    An interrupt that comes meanwhile waits.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve(descriptor: int) -> None:
    """What runs in the server: fork when asked, and tell how what was forked has ended."""
    control = socket.socket(fileno=descriptor)
    for name in _PRELOADED:
        importlib.import_module(name)
    with suppress(OSError):  # whoever asked is gone
        while True:
            message, descriptors, _, _ = socket.recv_fds(control, _NUMBER.size, 1)
            if len(message) < _NUMBER.size:
                break
            if not descriptors:
                _, status = os.waitpid(_NUMBER.unpack(message)[0], 0)
                control.sendall(_NUMBER.pack(os.waitstatus_to_exitcode(status)))
                continue
            pid = os.fork()
            if pid == 0:
                control.close()
                _end_with_parent()
                _work(Connection(descriptors[0]))
            os.close(descriptors[0])
            control.sendall(_NUMBER.pack(pid))
    os._exit(0)


def _end_with_parent() -> None:
    """Have the system end this process with its parent, even from inside a decoder that hangs."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
