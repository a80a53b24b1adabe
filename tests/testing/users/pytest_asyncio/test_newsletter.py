import asyncio

import pytest

import smtpcore
import smtpcore.asyncio


async def send_newsletter(server, readers):
    """Send one message to each reader, all at once."""

    async def send(reader):
        async with smtpcore.asyncio.connect(
            server.host, server.port, security="starttls", ssl_context=server.client_context()
        ) as client:
            await client.send("news@example.org", [reader], b"Subject: News\r\n\r\nNone.\r\n")

    return await asyncio.gather(*map(send, readers), return_exceptions=True)


async def test_each_reader_gets_a_message(smtpd_async):
    readers = [f"reader{number}@example.org" for number in range(5)]
    assert await send_newsletter(smtpd_async, readers) == [None] * 5
    for reader in readers:
        assert (await smtpd_async.wait_for(to=reader, subject="News")).tls
    assert len(smtpd_async.messages) == 5


async def test_one_refusal_is_one_error(smtpd_async):
    smtpd_async.fail_next("MAIL", "451 4.3.0 later")
    outcomes = await send_newsletter(smtpd_async, ["ann@example.org", "bob@example.org"])
    (error,) = [one for one in outcomes if one is not None]
    assert isinstance(error, smtpcore.ReplyError)
    assert error.reply.code == 451
    assert len(smtpd_async.messages) == 1


async def test_the_loop_is_not_blocked_while_a_test_waits(smtpd_async):
    waiting = asyncio.create_task(smtpd_async.wait_for(to="ann@example.org"))
    await send_newsletter(smtpd_async, ["ann@example.org"])
    assert (await waiting).recipients == ("ann@example.org",)
    with pytest.raises(AssertionError, match=r"no message to bob@example\.org"):
        await smtpd_async.wait_for(to="bob@example.org", timeout=0)
