"""Which tests are about which module, the scores that are wanted, and the list of equivalent mutants."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parent.parent.parent
EQUIVALENTS = Path(__file__).with_name("equivalents.txt")

# The percentage of mutants that the tests of a package have to notice.
WANTED: Final[dict[str, float]] = {
    "smtpcore/_core": 96,
    "smtpcore/_net": 92,
    "smtpcore/sasl": 92,
    "smtpcore/message": 92,
    "smtpcore/extensions": 92,
}

# A test of three or four adapters runs on trio only.
_ONE_ADAPTER = "-knot(sync)and(not(uvloop))"

# The tests that meet a mutant first, as patterns below tests/. A package's row is for its modules without one.
NARROW: Final[dict[str, str]] = {
    "smtpcore/_core": "core/test_{name}.py",
    "smtpcore/_core/addresses.py": "core/test_addresses.py core/test_grammar.py",
    "smtpcore/_core/auth.py": "core/test_auth.py",
    "smtpcore/_core/client.py": "core/test_client.py core/test_state.py",
    "smtpcore/_core/clientchecks.py": "core/test_client*.py core/test_error_texts.py",
    "smtpcore/_core/codes.py": "test_status_codes.py core/test_replies.py",
    "smtpcore/_core/commandspec.py": "core/test_commandspec.py core/test_rules.py extensions",
    "smtpcore/_core/config.py": "core/test_config.py core/test_limits.py",
    "smtpcore/_core/errors.py": "core/test_errors.py test_values.py",
    "smtpcore/_core/events.py": "core/test_events.py core/test_commands.py test_values.py",
    "smtpcore/_core/failures.py": "core/test_errors.py",
    "smtpcore/_core/grammar.py": "core/test_grammar.py core/test_expressions.py",
    "smtpcore/_core/headerfields.py": "core/test_headerfields.py test_trace.py",
    "smtpcore/_core/limits.py": "core/test_limits.py",
    "smtpcore/_core/printable.py": "core/test_printable.py",
    "smtpcore/_core/public.py": "test_public_names.py",
    "smtpcore/_core/rejectedlines.py": "core/test_rejectedlines.py",
    "smtpcore/_core/replyparser.py": "core/test_replies.py",
    "smtpcore/_core/replytexts.py": "core/test_replytexts.py",
    "smtpcore/_core/servercontent.py": "core/test_servercontent.py",
    "smtpcore/_core/serverreplies.py": "core/test_serverreplies.py",
    "smtpcore/_net": "net/test_{name}.py",
    "smtpcore/_net/options.py": "net/test_options.py net/test_connect.py",
    "smtpcore/_net/basestream.py": "net/test_basestream.py",
    "smtpcore/_net/callbacks.py": "test_handlers.py",
    "smtpcore/_net/client.py": "net/test_client*.py net/test_connect.py",
    "smtpcore/_net/connect.py": "net/test_connect.py net/test_options.py net/test_client*.py",
    "smtpcore/_net/dialogue.py": "net/test_client*.py net/test_batch.py",
    "smtpcore/_net/errors.py": "net/test_errors.py core/test_errors.py",
    "smtpcore/_net/handlercheck.py": "net/test_handlercheck.py test_handlers.py",
    "smtpcore/_net/listener.py": f"net/test_listener.py test_serve.py {_ONE_ADAPTER}",
    "smtpcore/_net/sending.py": "net/test_sending.py net/test_batch.py net/test_client*.py",
    "smtpcore/_net/serveroptions.py": "net/test_session.py test_handlers.py test_serve.py",
    "smtpcore/_net/session.py": "net/test_session.py net/test_serving.py test_handlers.py",
    "smtpcore/_net/serving.py": "net/test_serving.py net/test_session.py test_handlers.py test_serve.py",
    "smtpcore/_net/sockets.py": "net/test_sockets.py",
    "smtpcore/_net/spool.py": "net/test_spool.py",
    "smtpcore/_net/stream.py": "net/test_stream.py test_embedding.py net/test_batch.py",
    "smtpcore/_net/tls.py": "net/test_tls.py",
    "smtpcore/_net/transaction.py": "net/test_transaction.py net/test_client*.py",
    "smtpcore/sasl": "sasl extensions/test_auth.py",
    "smtpcore/message": "message",
    "smtpcore/message/_octets.py": "message/test_octets.py message/test_message.py",
    "smtpcore/extensions": "extensions/test_{name}.py extensions/test_standard.py",
    "smtpcore/extensions/__init__.py": "extensions",
}

# Those that survive meet these, stage by stage. The last stage is the only one that costs minutes.
_DIALOGS = (
    "core/test_dialogs.py core/test_server.py core/test_client.py extensions test_values.py"
    " --deselect=tests/core/test_dialogs.py::test_a_dialog_goes_alike_however_it_is_cut"
)
_PUBLIC = (
    "core sasl net/test_client*.py net/test_session.py properties test_embedding*.py test_generated_docs.py"
    " test_handlers.py test_public_names.py test_status_codes.py test_trace.py test_transcript.py"
    " --ignore=tests/core/test_linearity.py"
)
_NET = "test_connecting.py test_handlers.py net --ignore=tests/net/test_streams.py"
_SOCKETS = (
    "test_adapters.py test_embedding_client.py test_generated_docs.py test_maildir.py test_public_names.py"
    " test_serve.py test_transcript.py net/test_streams.py"
)
WIDE: Final[dict[str, tuple[str, ...]]] = {
    "smtpcore/_core": (_DIALOGS, _PUBLIC),
    "smtpcore/_net": (_NET, _SOCKETS),
    "smtpcore/sasl": (_DIALOGS, _PUBLIC),
    "smtpcore/message": ("properties/test_message.py test_trace.py net/test_client*.py",),
    "smtpcore/extensions": (_DIALOGS, _PUBLIC),
}


def modules_of(path: Path) -> list[Path]:
    """The modules of a package that hold code, or the one module that the path names."""
    if path.suffix:
        return [path]
    modules = sorted(one.relative_to(ROOT) for one in (ROOT / path).glob("*.py"))
    return [one for one in modules if len((ROOT / one).read_text(encoding="utf-8").splitlines()) > 1]


def _arguments(words: str) -> Iterator[str]:
    """The arguments of pytest for patterns and options."""
    for word in words.split():
        if word.startswith("-"):
            yield word
        else:
            yield from (str(one.relative_to(ROOT)) for one in sorted((ROOT / "tests").glob(word)))


def stages_of(module: Path) -> list[list[str]]:
    """The arguments of pytest for each stage of tests of a module, the narrow ones first."""
    package = str(module.parent)
    narrow = NARROW.get(str(module)) or NARROW[package]
    stages = [list(_arguments(words)) for words in (narrow.format(name=module.stem), *WIDE[package])]
    return [stage for stage in stages if stage]


def equivalents() -> dict[str, dict[str, str]]:
    """The listed mutants of each module, and why each is equivalent.

    In the file a line without indentation names a module; one with four spaces is a change as the command
    prints it; one with eight is its reason.
    """
    listed: dict[str, dict[str, str]] = {}
    module = change = ""
    for line in EQUIVALENTS.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if not text or line.startswith("#"):
            continue
        if not line.startswith("    "):
            module = text
            listed[module] = {}
        elif not line.startswith("        "):
            change = text
            listed[module][change] = ""
        else:
            listed[module][change] = f"{listed[module][change]} {text}".strip()
    return listed


def outdated(module: str, source: str) -> list[str]:
    """The listed mutants of a module whose line is not there any more."""
    lines = {line.strip() for line in ast.unparse(ast.parse(source)).splitlines()}
    return [
        change
        for change in equivalents().get(module, ())
        if change.partition(" => ")[0].partition(" / ")[0] not in lines
    ]
