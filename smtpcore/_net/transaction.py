"""A mail transaction: its envelope, the replies so far, and the result for each recipient."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._core.addresses import ReversePath, composed, in_ascii
from .._core.client import ClientConnection
from .._core.content import encode_content
from .._core.errors import LocalProtocolError
from .._core.events import Data, Mail, Rcpt, Response
from .._core.limits import Limits, Timeouts
from .._core.replies import Reply
from .options import wrong_type
from .results import RecipientResult, SendResult
from .sources import NOT_SEVEN_BIT

if TYPE_CHECKING:
    from email.message import Message


class Transaction:
    """The state of a mail transaction.

    Args:
        sender: The reverse-path as text.
        mail: The MAIL command.
        rcpts: The RCPT commands.
        names: The recipients as the application gave them.
        octets: The encoded content, if it was given as bytes.
        has_own_parameters: Some parameters are those that the application has given.

    Attributes:
        replies: The replies to RCPT, in order.
        refusal: The reply that refused MAIL or DATA.
        data: The reply to DATA that asks for the content.
        sent: The final dot was sent, or is being sent.
        final: The reply to the final dot.
        allowed: The seconds that the transaction may last so far.
        end: When they are over, by the clock.
    """

    refusal: Response | None = None
    data: Reply | None = None
    sent = False
    final: Reply | None = None
    allowed = math.inf
    end = math.inf

    def __init__(
        self,
        sender: str,
        mail: Mail,
        rcpts: list[Rcpt],
        names: list[str],
        octets: list[bytes] | None = None,
        has_own_parameters: bool = False,
    ) -> None:
        self.sender = sender
        self.mail = mail
        self.rcpts = rcpts
        self.names = names
        self.octets = octets
        self.has_own_parameters = has_own_parameters
        self.replies: list[Reply] = []

    def begin(self, now: float, timeouts: Timeouts) -> None:
        """Start its time; the formula is documented at :class:`~smtpcore.Timeouts`."""
        self.allowed = (
            2 * timeouts.command + timeouts.data_initiation + timeouts.data_block + timeouts.data_termination
        ) + timeouts.recipient * len(self.rcpts)
        self.end = now + self.allowed

    def allow_content(self, octets: int, limits: Limits) -> None:
        """Prolong its time for content that is sent."""
        seconds = octets / limits.upload_rate
        self.allowed += seconds
        self.end += seconds

    def pause(self, seconds: float) -> None:
        """Prolong its time by what the application takes to give content."""
        self.end += seconds

    def result(self, final: Reply | None = None) -> SendResult:
        """Work out the result so far.

        Args:
            final: The reply that refuses or accepts the content; by default that to the final dot, if any.
        """
        final = final or self.final
        refusal = self.refusal
        if final is not None and final.is_success and len(self.names) == 1:  # nearly every message
            return SendResult(self.sender, (RecipientResult(self.names[0], final, True, False),), final)
        rows = []
        for name, rcpt in itertools.zip_longest(self.names, self.replies):
            reply: Reply | None
            if refusal is not None and not isinstance(refusal.command, (Rcpt, Data)):
                reply = refusal.reply
            elif rcpt is not None and rcpt.is_success:
                reply = final or (refusal.reply if refusal is not None else rcpt)
            else:
                reply = rcpt
            accepted = rcpt is not None and rcpt.is_success and final is not None and final.is_success
            # A missing reply counts as a 451 (RFC 5321 3.8).
            retryable = not accepted and (
                reply is None
                or reply.is_success
                or reply.is_transient
                or (reply is rcpt and self._too_many_recipients(reply))
            )
            rows.append(RecipientResult(name, reply, accepted, retryable))
        last = final or (refusal.reply if refusal is not None else None)
        return SendResult(self.sender, tuple(rows), last, self.sent and final is None)

    @property
    def accepted(self) -> list[Reply]:
        """The replies to RCPT that accepted a recipient; none if MAIL was refused."""
        if self.refusal is not None and isinstance(self.refusal.command, Mail):
            return []
        return [reply for reply in self.replies if reply.is_success]

    def _too_many_recipients(self, reply: Reply) -> bool:
        """Whether a reply to RCPT means too many recipients, as older servers say it (RFC 5321 4.5.3.1.10)."""
        # 552 can also be about the size, if that was declared (RFC 1870 6.4), or about the mailbox.
        if reply.code != 552 or self.mail.size is not None or not self.accepted:
            return False
        return reply.status is None or reply.status.subject == 5


Sender = str | Mail
Recipient = str | Rcpt
Recipients = Recipient | Sequence[Recipient]


def prepare_transaction(
    connection: ClientConnection,
    sender: str | Mail,
    recipients: Recipients,
    content: bytes | None,
    smtputf8: bool,
) -> Transaction:
    """Make a transaction, with everything checked that can be checked before anything is sent.

    If the server says beforehand that the message is too big, the transaction has a ``refusal``.

    Args:
        connection: The core of the session.
        sender: As for ``send()``.
        recipients: As for ``send()``.
        content: All of it; None if it is to be read while it is sent.
        smtputf8: As for ``send()``.

    Raises:
        LocalProtocolError: Something of it cannot be sent.
    """
    capabilities = connection.capabilities
    given: Mapping[str, Any] = {}
    if isinstance(sender, Mail):
        given = sender.parameters
        sender = str(sender.reverse_path)
    elif not isinstance(sender, str):
        raise wrong_type("sender", "a string, '' for the null reverse-path, or a Mail", sender)
    if not isinstance(smtputf8, bool):
        raise wrong_type("smtputf8", "True or False", smtputf8)
    names, special = names_of(recipients)
    smtputf8 = smtputf8 or "SMTPUTF8" in given
    addresses, foreign = names, ""
    if not (sender.isascii() and all(map(str.isascii, names))):
        sender, addresses, foreign = _international(sender, names, keep=smtputf8)
    rcpts = [_rcpt(address) for address in addresses]
    for position, parameters_of_one in special.items():
        rcpts[position] = Rcpt(rcpts[position].forward_path, parameters_of_one)
    parameters: dict[str, Any] = {}
    octets, size, eight_bit, too_big = None, 0, True, False
    if content is not None:
        octets, eight_bit = encode_content(content)
        size = len(content) + (0 if content.endswith(b"\r\n") or not content else 2)
        if eight_bit and "8BITMIME" not in capabilities:
            raise LocalProtocolError(NOT_SEVEN_BIT)
        if "SIZE" in capabilities:
            parameters["SIZE"] = size
            too_big = capabilities.exceeds_size(size)
    if eight_bit and "8BITMIME" in capabilities:
        parameters["BODY"] = "8BITMIME"
    if foreign or smtputf8:
        if "SMTPUTF8" not in capabilities:
            what = f"the address {foreign!r}" if foreign else "the header"
            raise LocalProtocolError(
                f"{what} is not ASCII, and the server does not offer SMTPUTF8 (RFC 6531 3.2)"
            )
        parameters["SMTPUTF8"] = True
    if given:
        if eight_bit and content is not None and given.get("BODY") == "7BIT":
            raise LocalProtocolError("the content has octets above 127, and MAIL says BODY=7BIT (RFC 6152 2)")
        mail = Mail(sender, {**parameters, **given})
        connection.check_parameters(mail)
    else:
        mail = Mail(sender)
        if parameters:
            mail.parameters = parameters  # the constructor would check them
    for position in special:
        connection.check_parameters(rcpts[position])
    plain = sender if sender[:1] != "<" else str(mail.reverse_path)
    transaction = Transaction(plain, mail, rcpts, names, octets, bool(given or special))
    if too_big:
        reply = Reply(
            552, "5.3.4", f"the message has {size} octets, and the server accepts {capabilities.size}"
        )
        transaction.refusal = Response(mail, reply)
    return transaction


def prepare_email(
    connection: ClientConnection,
    message: Message,
    sender: str | Mail | None = None,
    recipients: Recipients | None = None,
) -> Transaction:
    """Make a transaction of an ``EmailMessage``; the arguments are those of ``send_message()``.

    Raises:
        LocalProtocolError: The message cannot be sent as it is.
    """
    from email.message import Message as EmailBase

    from ..message import prepare_message

    if not isinstance(message, EmailBase):
        raise wrong_type("message", "an EmailMessage (send() takes bytes)", message)
    if sender is not None and not isinstance(sender, (str, Mail)):
        raise wrong_type("sender", "a string, '' for the null reverse-path, or a Mail", sender)
    names, special = (None, {}) if recipients is None else names_of(recipients)
    prepared = prepare_message(
        message,
        sender=str(sender.reverse_path) if isinstance(sender, Mail) else sender,
        recipients=names,
        eight_bit_mime="8BITMIME" in connection.capabilities,
        smtputf8="SMTPUTF8" in connection.capabilities,
    )
    rcpts: Recipients = prepared.recipients
    if names is not None and special:
        rcpts = [Rcpt(name, special.get(position, {})) for position, name in enumerate(names)]
    mail = Mail(prepared.sender, sender.parameters) if isinstance(sender, Mail) else prepared.sender
    return prepare_transaction(connection, mail, rcpts, prepared.content, prepared.smtputf8)


def names_of(recipients: object) -> tuple[list[str], dict[int, Any]]:
    """List the addresses of recipients, and the parameters of those that have some, by position."""
    if isinstance(recipients, (str, Rcpt)):
        recipients = [recipients]
    what = "a string or an Rcpt, or a sequence of these, one for each recipient"
    if isinstance(recipients, (bytes, bytearray, memoryview)) or not isinstance(recipients, Iterable):
        raise wrong_type("recipients", what, recipients)
    names: list[str] = []
    special: dict[int, Any] = {}
    for name in recipients:
        if isinstance(name, str):
            names.append(name)
        elif isinstance(name, Rcpt):
            if name.parameters:
                special[len(names)] = name.parameters
            names.append(str(name.forward_path))
        else:
            raise wrong_type("each of recipients", "a string or an Rcpt", name)
    if not names:
        raise LocalProtocolError("a message needs at least one recipient")
    return names, special


def _international(sender: str, names: list[str], *, keep: bool) -> tuple[str, list[str], str]:
    """Give the sender and the recipients as they are sent, and the first address that needs SMTPUTF8.

    If none needs it and ``keep`` is False, all domains have A-labels (RFC 6531 3.2).
    """
    given = [sender, *names]
    paths = [ReversePath(composed(sender)), *(_rcpt(composed(name)).forward_path for name in names)]
    reduced = [in_ascii(path) for path in paths]
    foreign = next((name for name, text in zip(given, reduced, strict=True) if text is None), "")
    sent = [str(one) for one in (paths if foreign or keep else reduced)]
    return sent[0], sent[1:], foreign


def _rcpt(recipient: str) -> Rcpt:
    try:
        return Rcpt(recipient)
    except LocalProtocolError as error:
        advice = "; recipients are given as a list, one string each" if "," in recipient else ""
        raise LocalProtocolError(f"{error}{advice}") from None
