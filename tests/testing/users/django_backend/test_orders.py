import smtplib

from django.core import mail
from django.test import SimpleTestCase, override_settings

from smtpcore.testing import MailServer, assert_mail, mailbox_full, on


def confirm(order, customer):
    """Mail a confirmation; return whether it was sent."""
    body = "Danke schön!"
    message = mail.EmailMultiAlternatives(f"Order {order}", body, None, [customer], bcc=["log@example.org"])
    message.attach_alternative("<p>Danke schön!</p>", "text/html")
    return message.send(fail_silently=True) == 1


class OrdersTest(SimpleTestCase):
    def start(self, *faults):
        server = MailServer(*faults, users={"shop": "secret"})
        self.addCleanup(server.close)
        # Django's test runner replaces the backend, so it is set here.
        settings = override_settings(
            EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
            EMAIL_HOST=server.host,
            EMAIL_PORT=server.port,
            EMAIL_HOST_USER="shop",
            EMAIL_HOST_PASSWORD="secret",
        )
        settings.enable()
        self.addCleanup(settings.disable)
        return server

    def test_a_confirmation_is_sent(self):
        server = self.start()
        self.assertTrue(confirm(7, "ann@example.com"))
        found = assert_mail(server, to="ann@example.com", subject="Order 7", contains="Danke schön")
        self.assertEqual(found.recipients, ("ann@example.com", "log@example.org"))
        self.assertEqual((found.sender, found.user), ("shop@example.org", "shop"))
        self.assertNotIn(b"log@example.org", found.content)

    def test_a_full_mailbox_does_not_break_the_shop(self):
        server = self.start(mailbox_full())
        self.assertFalse(confirm(7, "ann@example.com"))
        self.assertEqual(server.messages, [])

    def test_a_lost_connection_does_not_break_the_shop(self):
        self.start(on("DATA").disconnect())
        self.assertFalse(confirm(7, "ann@example.com"))

    def test_a_connection_is_used_for_several_messages(self):
        server = self.start(on("MAIL", nth=2, times=1).reply("451 4.3.0 later"))
        with mail.get_connection() as connection, self.assertRaises(smtplib.SMTPSenderRefused):
            for number in range(3):
                mail.EmailMessage(f"News {number}", "", None, ["ann@example.com"], connection=connection).send()
        self.assertEqual([found.subject for found in server.messages], ["News 0"])
        self.assertEqual(len(server.transcripts), 1)
