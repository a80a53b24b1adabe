"""SMTP as a state machine, without I/O. ``smtpcore`` exports what is public."""
