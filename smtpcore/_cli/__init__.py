"""``python3 -m smtpcore``: one module a command."""
