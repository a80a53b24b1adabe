"""Public objects show the name under which they are imported."""

from __future__ import annotations

import importlib
import pickle
import pkgutil
from types import FunctionType

import pytest

import smtpcore

MODULES = [
    name
    for name in [
        "smtpcore",
        *(module.name for module in pkgutil.walk_packages(smtpcore.__path__, "smtpcore.")),
    ]
    if not any(part.startswith("_") for part in name.split("."))
]


def public_objects() -> list[tuple[str, str]]:
    return [
        (module, name) for module in MODULES for name in getattr(importlib.import_module(module), "__all__", ())
    ]


@pytest.mark.parametrize("module, name", public_objects())
def test_a_public_object_shows_a_public_name(module: str, name: str) -> None:
    one = getattr(importlib.import_module(module), name)
    if isinstance(one, (type, FunctionType)):
        assert one.__module__ in MODULES, one.__module__
        assert getattr(importlib.import_module(one.__module__), one.__name__) is one
        assert pickle.loads(pickle.dumps(one)) is one


def test_a_name_is_that_of_the_package_where_both_have_it() -> None:
    assert repr(smtpcore.ReplyError) == "<class 'smtpcore.ReplyError'>"
    assert smtpcore.Credentials.__module__ == "smtpcore"
