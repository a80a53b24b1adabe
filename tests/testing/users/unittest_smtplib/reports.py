"""The application: it mails a report, and tries once more if the server says "later"."""

import smtplib


def send_report(host, port, context, recipients):
    """Send a report, and return the recipients that were refused."""
    with smtplib.SMTP(host, port) as client:
        client.starttls(context=context)
        client.login("reports", "secret")
        content = "From: reports@example.org\r\nSubject: Sales\r\n\r\n.5 million\r\n"
        refused = client.sendmail("reports@example.org", recipients, content)
        later = [path for path, (code, _) in refused.items() if code // 100 == 4]
        if later:
            refused = {**refused, **client.sendmail("reports@example.org", later, content)}
            refused = {path: reply for path, reply in refused.items() if path not in later}
    return sorted(refused)
