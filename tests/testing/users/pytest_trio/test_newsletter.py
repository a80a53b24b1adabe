import pytest
import trio

import smtpcore
import smtpcore.trio


async def send(server, reader):
    async with smtpcore.trio.connect(
        server.host, server.port, security="starttls", ssl_context=server.client_context()
    ) as client:
        await client.send("news@example.org", [reader], b"Subject: News\r\n\r\nNone.\r\n")


async def test_each_reader_gets_a_message(smtpd_async):
    readers = [f"reader{number}@example.org" for number in range(5)]
    async with trio.open_nursery() as nursery:
        for reader in readers:
            nursery.start_soon(send, smtpd_async, reader)
    for reader in readers:
        assert (await smtpd_async.wait_for(to=reader, subject="News")).tls
    assert len(smtpd_async.messages) == 5


async def test_a_slow_server_can_be_left(smtp_faults):
    from smtpcore.testing import tarpit

    server = smtp_faults(tarpit(60))
    with trio.move_on_after(0.05) as scope:
        await send(server, "ann@example.org")
    assert scope.cancelled_caught
    assert server.messages == []


async def test_a_refusal_is_an_error(smtpd_async):
    smtpd_async.fail_next("MAIL", "451 4.3.0 later")
    with pytest.raises(smtpcore.ReplyError, match="later"):
        await send(smtpd_async, "ann@example.org")


async def test_the_loop_is_not_blocked_while_a_test_waits(smtpd_async, nursery):
    nursery.start_soon(send, smtpd_async, "ann@example.org")
    assert (await smtpd_async.wait_for(to="ann@example.org")).recipients == ("ann@example.org",)
