"""What is checked of a handler before a client connects: methods of other libraries have other names here."""

from __future__ import annotations

import pytest

from smtpcore._net.handlercheck import check_handler, name_of


@pytest.mark.parametrize(
    "foreign, here",
    [
        ("handle_HELO", "accept_hello"),
        ("handle_EHLO", "accept_hello"),
        ("handle_MAIL", "accept_sender"),
        ("handle_RCPT", "accept_recipient"),
        ("handle_DATA", "store"),
        ("handle_RSET", "on_reset"),
        ("handle_NOOP", "nothing: the server answers NOOP"),
        ("handle_QUIT", "on_disconnect"),
        ("handle_VRFY", "verify_address"),
        ("handle_AUTH", "check_credentials"),
        ("handle_STARTTLS", "on_tls"),
        ("handle_exception", "nothing: exceptions are logged and answered 451"),
        ("handle_message", "store"),
        ("process_message", "store"),
    ],
)
def test_a_method_of_another_library_is_named_with_its_place_here(foreign: str, here: str) -> None:
    handler = type(
        "Handler", (), {foreign: lambda self: None, "store": lambda self, session, envelope, content: None}
    )
    with pytest.raises(TypeError) as caught:
        check_handler(handler())
    assert (
        str(caught.value) == f"Handler.{foreign} is a method of another library's handlers: here it is {here}"
    )


def test_a_handler_is_named_by_its_function_or_its_type() -> None:
    assert name_of(check_handler) == "check_handler"
    assert name_of(5) == "5"
