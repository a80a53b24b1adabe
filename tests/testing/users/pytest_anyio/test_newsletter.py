import anyio
import pytest

import smtpcore
import smtpcore.asyncio
import smtpcore.trio

pytestmark = pytest.mark.anyio


async def send(backend, server, reader):
    connect = smtpcore.trio.connect if backend == "trio" else smtpcore.asyncio.connect
    async with connect(server.host, server.port, security="none") as client:
        await client.send("news@example.org", [reader], b"Subject: News\r\n\r\nNone.\r\n")


async def test_each_reader_gets_a_message(anyio_backend_name, smtpd_async):
    readers = [f"reader{number}@example.org" for number in range(3)]
    async with anyio.create_task_group() as group:
        for reader in readers:
            group.start_soon(send, anyio_backend_name, smtpd_async, reader)
        for reader in readers:
            assert (await smtpd_async.wait_for(to=reader)).subject == "News"


async def test_a_refusal_is_an_error(anyio_backend_name, smtpd_async):
    smtpd_async.fail_next("MAIL", "451 4.3.0 later")
    with pytest.raises(smtpcore.ReplyError, match="later"):
        await send(anyio_backend_name, smtpd_async, "ann@example.org")
    with pytest.raises(AssertionError, match=r"no message to ann@example\.org"):
        await smtpd_async.wait_for(to="ann@example.org", timeout=0)
