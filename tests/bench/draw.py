"""Draw the figures of a run: ``python -m tests.bench.draw [--page-only]``.

It reads `docs/performance/figures.json`, which ``python -m tests.bench --json docs/performance/figures.json``
writes, draws `docs/performance/*.svg` with matplotlib, and puts the table into docs/explanation/performance.md,
between two markers. With ``--page-only`` only the table is written, without matplotlib.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .measure import number
from .servers import AIOSMTPD, CANNED, NODEMAILER, ROOT, SINK, SMTP_SINK, STORE, THREADS, TRIO

FIGURES = ROOT / "docs" / "performance" / "figures.json"
PAGE = ROOT / "docs" / "explanation" / "performance.md"
BEGIN = "<!-- The figures: python -m tests.bench.draw writes them. -->"
END = "<!-- End of the figures. -->"

Results = Mapping[str, Any]

# For readers: ours are blue, so that they are seen among the peers.
_NAMES = {
    SINK: "smtpcore on asyncio, sink",
    STORE: "smtpcore on asyncio, store()",
    TRIO: "smtpcore on trio",
    THREADS: "smtpcore on threads",
    CANNED: "asyncio without SMTP",
    AIOSMTPD: "aiosmtpd",
    SMTP_SINK: "smtp-sink of Postfix (C)",
    NODEMAILER: "nodemailer's smtp-server",
}
_STYLES = {
    SINK: ("#0b4f9e", "o", "-"),
    STORE: ("#3b82d0", "s", "-"),
    TRIO: ("#7fb2e5", "^", "-"),
    THREADS: ("#12a4a4", "v", "-"),
    CANNED: ("#888888", "x", ":"),
    AIOSMTPD: ("#c2410c", "D", "--"),
    SMTP_SINK: ("#222222", "*", "--"),
    NODEMAILER: ("#c59b08", "P", "--"),
}


# --- The page ---------------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """Return the figures in Markdown: what was measured where, the aims, and every subject."""
    where = f"Python {results['python']} on {results['system']}, {results['cores']} cores"
    how = f"{results['rounds']} rounds at scale {results['scale']:g}"
    lines = [
        f"Measured on {results['date']} with {where}: {how}.",
        "",
        "| work | subject | measured (lowest to highest) | wanted | |",
        "|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        for ratio in row["ratios"]:
            measured, wanted = _compared(ratio, row["unit"])
            verdict = "reached" if ratio["reached"] else "**not reached**"
            lines.append(f"| {row['title']} | {ratio['subject']} | {measured} | {wanted} | {verdict} |")
    lines += ["", "The medians of every subject:", "", "| work | unit | |", "|---|---|---|"]
    for row in results["rows"]:
        medians = "; ".join(f"{name} {number(found['median'])}" for name, found in row["subjects"].items())
        lines.append(f"| {row['title']} | {row['unit']} | {medians} |")
    if results["missing"]:
        lines += ["", "Not measured: " + "; ".join(results["missing"]) + "."]
    return "\n".join(lines)


def _compared(ratio: Mapping[str, Any], unit: str) -> tuple[str, str]:
    spread = f"{number(ratio['median'])} ({number(ratio['low'])} to {number(ratio['high'])})"
    bound = f"{ratio['bound']:g}"
    if ratio["kind"] == "value":
        return f"{spread} {unit}", f"at most {bound}"
    if ratio["kind"] == "cost":
        return f"{spread} x the CPU time of {ratio['peer']}", f"at most {bound}"
    return f"{spread} x as fast as {ratio['peer']}", f"at least {bound}"


def page(written: str, results: Results) -> str:
    """Return a page with the figures between its markers.

    Raises:
        ValueError: The page has no markers.
    """
    before, begin, rest = written.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no place for the figures: the page needs the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{after}"


# --- Diagrams ---------------------------------------------------------------------------------------------


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw a diagram for each curve, and one that compares the servers, and return their paths."""
    import matplotlib

    matplotlib.use("svg")
    # The same figures give the same octets: no random ids, no date, text as text.
    matplotlib.rcParams.update(
        {
            "svg.hashsalt": "smtpcore",
            "svg.fonttype": "none",
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    paths = [_draw_curve(curve, folder) for curve in results["curves"]]
    rows = {row["key"]: row for row in results["rows"]}
    if "server-1-kib" in rows:
        paths.append(_draw_bars(rows["server-1-kib"], folder / "servers.svg"))
    return paths


def _draw_curve(curve: Mapping[str, Any], folder: Path) -> Path:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    for name, medians in curve["series"].items():
        colour, marker, line = _STYLES[name]
        axes.plot(curve["values"], medians, line, color=colour, marker=marker, label=_NAMES[name])
    axes.set(xscale="log", yscale="log", title=curve["title"], xlabel=curve["axis"], ylabel=curve["unit"])
    axes.set_xticks(curve["values"], [_short(value) for value in curve["values"]])
    axes.minorticks_off()
    axes.grid(axis="y", color="#dddddd")
    figure.legend(loc="outside right center", frameon=False)
    return _save(figure, folder / f"{curve['key']}.svg")


def _draw_bars(row: Mapping[str, Any], path: Path) -> Path:
    from matplotlib import pyplot

    found = sorted(row["subjects"].items(), key=lambda item: float(item[1]["median"]), reverse=True)
    figure, axes = pyplot.subplots(figsize=(9, 4), layout="constrained")
    medians = [spread["median"] for _, spread in found]
    errors = [
        [spread["median"] - spread["low"] for _, spread in found],
        [spread["high"] - spread["median"] for _, spread in found],
    ]
    colours = [_STYLES.get(name, ("#3b82d0",))[0] for name, _ in found]
    names = [_NAMES.get(name, f"smtpcore on {name}") for name, _ in found]
    axes.barh(names, medians, xerr=errors, color=colours, ecolor="#555555", capsize=3)
    axes.set(title=row["title"], xlabel=f"us of CPU {row['unit'].removeprefix('us ')}")
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    return _save(figure, path)


def _save(figure: Any, path: Path) -> Path:
    from matplotlib import pyplot

    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    return path


def _short(value: int) -> str:
    for size, name in ((1024**2, "Mi"), (1024, "Ki")):
        if value % size == 0:
            return f"{value // size} {name}"
    return f"{value:,}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.draw", description=__doc__)
    parser.add_argument("--page-only", action="store_true", help="write the table, and draw nothing")
    options = parser.parse_args(arguments)
    results = json.loads(FIGURES.read_text(encoding="utf-8"))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    if not options.page_only:
        for path in draw(results, FIGURES.parent):
            print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
