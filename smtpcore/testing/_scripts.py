r"""Peers that follow a script: a server that replies what is written, a client that sends what is written.

A script is the text of a dialog, a line for each thing that happens, in order. Empty lines and lines that begin
with ``#`` are ignored.

``S: 250 mx.example``
    The server sends this line; its CRLF is not written. Lines that follow each other are sent at once.
``C: MAIL FROM:<ann@example.org>``
    The client sends it. The peer that the script does *not* play must send exactly this; ``...`` at the end
    stands for the rest of the line. ``C~`` and ``S~`` are followed by a regular expression for the line.
``C> QU``, ``S> 2``
    Octets as they are, without a line end: to cut a line anywhere. ``\r \n \t \0 \\`` and ``\xNN`` stand for
    octets here and in lines.
``TLS``
    The TLS handshake.
``EOF C``, ``EOF S``
    The client, or the server, closes the connection.
``WAIT 0.5``
    The peer that the script plays waits some seconds.
``CONTENT``
    The client sends any content, up to its final dot.
"""

from __future__ import annotations

import itertools
import re
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal, Self

from .._core.errors import LocalProtocolError, check_text
from .._net.serveroptions import check_seconds
from ..transcript import Transcript
from ._server import client_context, server_context

Side = Literal["C", "S"]

_STEP: Final = re.compile(r"([CS])([:>~]) ?(.*)")
_STEPS: Final = "C: S: C~ S~ C> S> with their text, TLS, CONTENT, EOF C, EOF S, WAIT SECONDS"
_ESCAPE: Final = re.compile(rb"\\(?:([rnt0\\])|x([0-9a-fA-F]{2})|(.?))", re.DOTALL)
_ESCAPED: Final = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}
_CUT_SHORT: Final = re.compile(r"(.*)\.\.\. \[([0-9]+) octets\]")  # as an oracle shows a long line
_WAIT: Final = re.compile(r"WAIT ([0-9]+(?:\.[0-9]+)?)")


class ScriptError(AssertionError):
    """The other side did not do what the script says, or the script is not valid.

    The message has the number of the line, what was expected and received, and the dialogue.
    """


@dataclass(frozen=True)
class _Step:
    number: int
    kind: Literal["line", "octets", "pattern", "tls", "eof", "wait", "content"]
    side: Side
    octets: bytes = b""
    text: str = ""
    seconds: float = 0.0


def _unescape(text: str, number: int) -> bytes:
    def octet(match: re.Match[bytes]) -> bytes:
        if match[1]:
            return _ESCAPED[match[1]]
        if match[2]:
            return bytes.fromhex(match[2].decode())
        raise ScriptError(f"line {number}: {match[0].decode()!r} is not an escape: \\r \\n \\t \\0 \\\\ \\xNN")

    return _ESCAPE.sub(octet, text.encode("utf-8"))


def _checked(script: str, timeout: float) -> tuple[list[_Step], float]:
    """The steps of a script, and a time-out above 0: a socket with 0 would not wait at all."""
    check_text("script", script)
    check_seconds("timeout", timeout)
    if not 0 < timeout <= threading.TIMEOUT_MAX:
        raise LocalProtocolError(f"timeout is a finite number of seconds above 0, not {timeout!r}")
    return _parse(script), timeout


def _parse(script: str) -> list[_Step]:
    steps = []
    for number, raw in enumerate(script.split("\n"), 1):
        line = raw.strip()
        if line and not line.startswith("#"):
            steps.append(_parse_line(line, number))
    return steps


def _parse_line(line: str, number: int) -> _Step:
    if line == "TLS":
        return _Step(number, "tls", "C", text=line)
    if line == "CONTENT":
        return _Step(number, "content", "C", text=line)
    if line in ("EOF C", "EOF S"):
        return _Step(number, "eof", "C" if line[-1] == "C" else "S", text=line)
    if match := _WAIT.fullmatch(line):
        return _Step(number, "wait", "C", text=line, seconds=float(match[1]))
    match = _STEP.fullmatch(line)
    if match is None:
        raise ScriptError(f"line {number}: {line!r} is not a step: {_STEPS}")
    side: Side = "C" if match[1] == "C" else "S"
    if match[2] == "~":
        try:
            re.compile(match[3])
        except re.error as error:
            raise ScriptError(f"line {number}: {match[3]!r} is not a regular expression: {error}") from None
        return _Step(number, "pattern", side, text=match[3])
    if cut := _CUT_SHORT.fullmatch(match[3]):
        if side == "C":
            raise ScriptError(f"line {number} was cut short: write its {cut[2]} octets in full")
        return _Step(number, "line", side, _unescape(cut[1], number) + b"...", match[3])
    octets = _unescape(match[3], number)
    if match[2] == ">":
        return _Step(number, "octets", side, octets, match[3])
    return _Step(number, "line", side, octets, match[3])


class _Player:
    """Plays one side of a script over a socket."""

    _side: Side

    def __init__(self, sock: socket.socket, side: Side, timeout: float, tls_name: str) -> None:
        self.transcript = Transcript(content=True)
        self._socket = sock
        self._side = side
        self._tls_name = tls_name
        self._buffer = b""
        self._unsent = b""  # lines, which are sent with those that follow
        self._socket.settimeout(timeout)

    def play(self, steps: list[_Step]) -> None:
        for step, following in itertools.zip_longest(steps, steps[1:]):
            try:
                self._do(step)
                if following is None or following.kind != "line" or following.side != self._side:
                    self._flush()
            except TimeoutError:
                raise self._error(step, "nothing arrived in time") from None
            except OSError as error:
                raise self._error(step, f"the connection broke: {error}") from error
        self.transcript.record_end()

    def _do(self, step: _Step) -> None:
        mine = step.side == self._side
        if step.kind == "wait":
            threading.Event().wait(step.seconds)
        elif step.kind == "tls":
            self._shake_hands(step)
        elif mine:
            self._act(step)
        else:
            self._expect(step)

    def _act(self, step: _Step) -> None:
        if step.kind == "eof":
            self._socket.shutdown(socket.SHUT_WR)
            return
        if step.kind in ("pattern", "content"):
            raise ScriptError(f"line {step.number}: a script can expect {step.text!r}, and not send it")
        self._unsent += step.octets + (b"\r\n" if step.kind == "line" else b"")
        if step.kind == "octets":
            self._flush()

    def _flush(self) -> None:
        octets, self._unsent = self._unsent, b""
        if octets:
            self._record(self._side, octets)
            self._socket.sendall(octets)

    def _expect(self, step: _Step) -> None:
        if step.kind == "eof":
            if self._buffer or self._fill():
                raise self._error(step, f"received {self._buffer!r}")
        elif step.kind == "octets":
            while len(self._buffer) < len(step.octets) and self._fill():
                pass
            received, self._buffer = self._buffer[: len(step.octets)], self._buffer[len(step.octets) :]
            if received != step.octets:
                raise self._error(step, f"received {received!r}")
        elif step.kind == "content":
            self._take_content(step)
        else:
            line = self._take_line(step)
            if not _fits(step, line):
                raise self._error(step, f"received {line.decode('utf-8', 'backslashreplace')!r}")

    def _take_line(self, step: _Step) -> bytes:
        while b"\r\n" not in self._buffer:
            if not self._fill():
                raise self._error(step, f"the connection was closed after {self._buffer!r}")
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _take_content(self, step: _Step) -> None:
        while self._take_line(step) != b".":
            pass

    def _fill(self) -> bool:
        octets = self._read()
        self._buffer += octets
        return bool(octets)

    def _read(self) -> bytes:
        octets = self._socket.recv(65536)
        self._record("S" if self._side == "C" else "C", octets)
        return octets

    def _record(self, side: Side, octets: bytes) -> None:
        if side == "C":
            self.transcript.record_client(octets)
        else:
            self.transcript.record_server(octets)

    def _shake_hands(self, step: _Step) -> None:
        if self._buffer:
            raise self._error(step, f"received {self._buffer!r} before the handshake")
        if self._side == "S":
            self._socket = server_context().wrap_socket(self._socket, server_side=True)
        else:
            self._socket = client_context().wrap_socket(self._socket, server_hostname=self._tls_name)
        assert isinstance(self._socket, ssl.SSLSocket)
        self.transcript.record_tls(str(self._socket.version()))

    def _error(self, step: _Step, what: str) -> ScriptError:
        return ScriptError(f"line {step.number}, {step.text!r} was expected: {what}\n{self.transcript}")

    def interrupt(self) -> None:
        """End the connection while another thread plays; close() would not wake that thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.close()


def _fits(step: _Step, line: bytes) -> bool:
    if step.kind == "pattern":
        return re.fullmatch(step.text, line.decode("latin-1")) is not None
    if step.octets.endswith(b"..."):
        return line.startswith(step.octets[:-3])
    return line == step.octets


class ScriptedServer:
    r"""A server on 127.0.0.1 that follows a script, in a thread of its own.

    It accepts one connection, does what the script says, and compares what the client sends. The end of the
    ``with`` block waits for the end of the script. The test may be of any kind: plain, asyncio, trio, anyio.

    ::

        with ScriptedServer('''
            S: 220 mx.example ESMTP
            C: EHLO ...
            S: 250 mx.example
            C: MAIL FROM:<ann@example.org>
            S: 451 4.3.0 later
            C: QUIT
            S: 221 bye
        ''') as server:
            application.send_report(server.host, server.port)

    Steps: ``S: LINE`` and ``C: LINE`` without their CRLF, ``C: EHLO ...`` for any rest, ``C~ EXPRESSION``,
    ``S> OCTETS`` as they are, ``CONTENT``, ``TLS``, ``EOF C``, ``EOF S``, ``WAIT SECONDS``. ``\r``, ``\n`` and
    ``\xNN`` stand for octets.

    Args:
        script: The text of the dialog.
        timeout: Seconds that each wait for the client may last.

    Attributes:
        host: The address that it listens on.
        port: The port that it listens on.

    Raises:
        ScriptError: The script is not valid.
        LocalProtocolError: ``timeout`` is not a time to wait.
        ArgumentTypeError: An argument has the wrong type.
    """

    def __init__(self, script: str, *, timeout: float = 10.0) -> None:
        self._steps, self._timeout = _checked(script, timeout)
        self._error: BaseException | None = None
        self._player: _Player | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(timeout)
        self.host: str = "127.0.0.1"
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def transcript(self) -> str:
        """The dialogue so far."""
        return "" if self._player is None else str(self._player.transcript)

    def _run(self) -> None:
        try:
            with self._listener:
                sock, _ = self._listener.accept()
            self._player = player = _Player(sock, "S", self._timeout, "")
            try:
                player.play(self._steps)
            finally:
                player.close()
        except TimeoutError:
            self._error = ScriptError(f"no client has connected within {self._timeout:g} seconds")
        except BaseException as error:
            self._error = error

    def finish(self) -> None:
        """Wait for the end of the script.

        Raises:
            ScriptError: The client did not do what the script says.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        if kind is None:
            self.finish()
            return
        with suppress(OSError):  # the test has failed already: the server must not wait for its client
            self._listener.shutdown(socket.SHUT_RDWR)
        if self._player is not None:
            self._player.interrupt()


class ScriptedClient:
    """A client that follows a script: it sends the lines of the client, and compares those of the server.

    ::

        ScriptedClient('''
            S: 220 ...
            C: EHLO client.example
            S~ 250[- ].*
        ''').run("127.0.0.1", port)

    The steps are those of :class:`ScriptedServer`. An asyncio test calls ``run()`` in a thread:
    ``await asyncio.to_thread(client.run, host, port)``.

    Args:
        script: The text of the dialog.
        timeout: Seconds that each wait for the server may last.

    Raises:
        ScriptError: The script is not valid.
        LocalProtocolError: ``timeout`` is not a time to wait.
        ArgumentTypeError: An argument has the wrong type.
    """

    def __init__(self, script: str, *, timeout: float = 10.0) -> None:
        self._steps, self._timeout = _checked(script, timeout)

    def run(self, host: str, port: int) -> str:
        """Connect to a server and play the script.

        Args:
            host: The server; its certificate, if there is TLS, is that of :func:`server_context`.
            port: Its port.

        Returns:
            The dialogue.

        Raises:
            ScriptError: The server did not do what the script says.
            OSError: There is no server.
        """
        return self.run_over(socket.create_connection((host, port), self._timeout), host)

    def run_over(self, sock: socket.socket, host: str = "localhost") -> str:
        """Play the script over a connected socket, and close the socket; see :meth:`run`.

        Args:
            sock: The socket.
            host: The name that the certificate of the server is for.
        """
        player = _Player(sock, "C", self._timeout, host)
        try:
            player.play(self._steps)
        finally:
            player.close()
        return str(player.transcript)
