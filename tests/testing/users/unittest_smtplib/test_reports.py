import unittest

import reports

from smtpcore.testing import MailServer, assert_mail, greylist, on


class ReportsTest(unittest.TestCase):
    def start(self, *faults):
        server = MailServer(*faults, users={"reports": "secret"})
        self.addCleanup(server.close)
        return server

    def send(self, server, *recipients):
        return reports.send_report(server.host, server.port, server.client_context(), list(recipients))

    def test_a_report_is_sent_under_tls_with_a_login(self):
        server = self.start()
        self.assertEqual(self.send(server, "ann@example.org"), [])
        mail = assert_mail(server, to="ann@example.org", subject="Sales", contains=".5 million")
        self.assertEqual((mail.user, mail.tls), ("reports", True))

    def test_an_unknown_recipient_does_not_stop_the_others(self):
        server = self.start(on("RCPT", nth=2).reply("550 5.1.1 no such user"))
        self.assertEqual(self.send(server, "ann@example.org", "bob@example.org"), ["bob@example.org"])
        self.assertEqual(assert_mail(server).recipients, ("ann@example.org",))

    def test_a_greylisted_recipient_gets_it_the_second_time(self):
        server = self.start(on("RCPT", nth=1, times=1).reply("250 ok"), greylist())
        self.assertEqual(self.send(server, "ann@example.org", "bob@example.org"), [])
        self.assertEqual(
            [mail.recipients for mail in server.messages], [("ann@example.org",), ("bob@example.org",)]
        )

    def test_an_assertion_shows_the_dialogue(self):
        server = self.start()
        self.send(server, "ann@example.org")
        with self.assertRaisesRegex(AssertionError, r"0 messages have(?s:.*)rcpt TO:<ann@example\.org>"):
            assert_mail(server, to="bob@example.org")
