"""LOGIN: the user name and the password, each in a response of its own; obsolete, and never standardised."""

from __future__ import annotations

from .base import Challenge, Failed, PasswordMechanism, ServerMechanism, Step
from .credentials import Credentials
from .encoding import MechanismError

__all__ = ["LoginClient", "LoginServer"]


class LoginClient(PasswordMechanism):
    """LOGIN, the client's side: sends the user name, then the password, whatever the text of the challenges."""

    __slots__ = ("_answers",)

    name = "LOGIN"
    cleartext = True

    def __init__(self, username: str, password: str) -> None:
        super().__init__(username, password)
        self._answers: list[str] = []

    def initial_response(self) -> None:
        self._answers = [self._password, self.username]

    def respond(self, challenge: bytes) -> bytes:
        if not self._answers:
            raise MechanismError("the server sent a third challenge: LOGIN has two, for user name and password")
        return self._answers.pop().encode("utf-8")


class LoginServer(ServerMechanism):
    """LOGIN, the server's side. It is obsolete and was never standardised, but many devices know only LOGIN.

    An initial response is accepted as the user name.
    """

    __slots__ = ("_username",)

    name = "LOGIN"
    cleartext = True

    def __init__(self, *, prepare: bool = True) -> None:
        super().__init__(prepare=prepare)
        self._username: str | None = None

    def first_challenge(self) -> bytes:
        return b"Username:"

    def step(self, response: bytes) -> Step:
        text = self.text(response)
        if text is None:
            return Failed("a name or password that is empty or not valid", malformed=True)
        if self._username is None:
            self._username = text
            return Challenge(b"Password:")
        return self.ask(Credentials(self.name, self._username, None, text))
