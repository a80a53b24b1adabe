"""Mutation samples: change a module in one place after the other, and see which changes no test notices.

``changes`` makes the mutants, ``table`` says which tests are about which module, ``runs`` and ``worker`` run
them, ``equivalents.txt`` lists the mutants that are known to change nothing, and ``python -m tests.mutate`` is
the command.
"""
