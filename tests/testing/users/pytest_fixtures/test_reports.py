import smtplib
import threading

import pytest

CONTENT = "Subject: Sales\r\n\r\nUp again.\r\n"


def send_report(host, port, recipients):
    with smtplib.SMTP(host, port) as client:
        return client.sendmail("reports@example.org", recipients, CONTENT)


def test_a_report_arrives(smtpd, assert_mail):
    send_report(smtpd.host, smtpd.port, ["ann@example.org"])
    assert (
        assert_mail(to="ann@example.org", subject="Sales", contains="Up again").sender == "reports@example.org"
    )


def test_a_report_from_the_background_arrives(smtpd):
    thread = threading.Thread(target=send_report, args=(smtpd.host, smtpd.port, ["ann@example.org"]))
    thread.start()
    assert smtpd.wait_for(to="ann@example.org", subject="Sales").recipients == ("ann@example.org",)
    thread.join()


@pytest.mark.parametrize("code", [421, 451, 550])
def test_a_refusal_is_an_error(smtpd, code):
    smtpd.fail_next("RCPT", f"{code} no")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send_report(smtpd.host, smtpd.port, ["ann@example.org"])
    assert smtpd.messages == []


@pytest.mark.smtpd(tls="implicit", users={"ann": "secret"})
def test_the_marker_makes_a_submission_server(smtpd):
    with smtplib.SMTP_SSL("localhost", smtpd.port, context=smtpd.client_context()) as client:
        client.login("ann", "secret")
        client.sendmail("ann@example.org", ["bob@example.org"], CONTENT)
    assert smtpd.messages[0].user == "ann"
