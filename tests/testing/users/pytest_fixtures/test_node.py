import json
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.smtpd(users={"reports": "secret"})
SEND = Path(__file__).with_name("send.js")


def send(smtpd, *recipients):
    command = ["node", SEND, str(smtpd.port), smtpd.ca_file, *recipients]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=True).stdout)


def test_a_report_arrives_under_tls_with_a_login(smtpd, assert_mail):
    assert send(smtpd, "ann@example.org") == {"accepted": ["ann@example.org"], "rejected": []}
    mail = assert_mail(to="ann@example.org", subject="Umsätze", contains=".5 million")
    assert (mail.user, mail.tls) == ("reports", True)


def test_a_recipient_that_is_refused_is_reported(smtpd):
    smtpd.fail_next("RCPT", "550 5.1.1 no such user")
    outcome = send(smtpd, "ann@example.org", "bob@example.org")
    assert outcome == {"accepted": ["bob@example.org"], "rejected": ["ann@example.org"]}


def test_a_refusal_after_the_content_is_an_error(smtpd):
    smtpd.fail_next(".", "452 4.3.1 full")
    assert send(smtpd, "ann@example.org") == {"code": "EMESSAGE", "responseCode": 452}
    assert smtpd.messages == []
