"""What pytest leaves alone here."""

collect_ignore = ["users"]  # the tests of users' projects: test_users.py runs them
