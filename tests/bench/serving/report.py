"""The measurements as Markdown tables and as a plot in SVG, written by hand: nothing to install for six bars."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Figures = dict[str, Any]

_WIDTH, _HEIGHT, _LEFT, _TOP, _FOOT = 760, 190, 44, 34, 40
_EXPLAINED = """\
`ratio`: requests a second over those of the bare loop (a thread for each core), measured before and after. `CPU`:
milliseconds a request, of the server's processes, of the bare loop, of the load generator. `load`: the machine's load average."""
_TONES = ("#9ecae1", "#4292c6", "#08519c", "#08306b")


def markdown(found: Figures) -> str:
    """Every figure, a section a model."""
    at = found["machine"]
    where = f"{at['date']}, {at['cores']} x {at['processor']}, ONNX Runtime {at['onnxruntime']} on {at['device']}"
    parts = [f"# The server beside the bare loop\n\n{where}, load average {at['load']} at the start. {_EXPLAINED}\n"]
    for one in found["models"]:
        parts += [f"## {one['model']}\n", _start(one), _closed(one), _open(one)]
        if one["missing"]:
            parts.append(
                f"Not measured, for the server or the client does not speak it: {', '.join(one['missing'])}.\n"
            )
    return "\n".join(part for part in parts if part)


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *([_shown(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _shown(value: object) -> str:
    if not isinstance(value, float):
        return "-" if value is None else str(value)
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


def _start(one: Figures) -> str:
    start = one["start"]
    rows = [
        ("process start to the first answer, s", start["seconds"], start["bareSeconds"]),
        ("the same, CPU s", start["cpuSeconds"], start["bareCPUSeconds"]),
        ("memory at rest, PSS MiB", start["idlePSS"], None),
        ("memory under load, PSS MiB, the most", _most_memory(one), None),
    ]
    return _table(("", "server", "bare loop"), rows)


def _most_memory(one: Figures) -> float | None:
    return max((row["pss"] for kind in one["kinds"].values() for row in kind["closed"]), default=None)


def _closed(one: Figures) -> str:
    rows = [
        (
            *(name, row["clients"], row["rate"], row["ratio"], row["p50"], row["p99"], row["cpu"], row["bareCPU"]),
            *(
                row["cpu"] / row["bareCPU"],
                row["clientCPU"],
                row["pss"],
                row["refused"],
                row["errors"],
                round(row["load"], 1),
            ),
        )
        for name, kind in one["kinds"].items()
        for row in kind["closed"]
    ]
    head = (
        "kind",
        "clients",
        "req/s",
        "ratio",
        "p50 ms",
        "p99 ms",
        "CPU ms",
        "bare CPU",
        "CPU ratio",
        "client CPU",
        "PSS",
        "refused",
        "errors",
        "load",
    )
    lone = [
        (name, row["p50"], kind["bareLoneP50"], row["p50"] / kind["bareLoneP50"])
        for name, kind in one["kinds"].items()
        for row in kind["closed"]
        if row["clients"] == 1 and row["p50"]
    ]
    alone = ("kind, one client", "p50 ms", "bare loop on all cores, p50 ms", "ratio")
    return _table(head, rows) + ("\n" + _table(alone, lone) if lone else "")


def _open(one: Figures) -> str:
    if "open" not in one:
        return ""
    rows = [
        (
            *(f"{row['share']:.0%}", row["due"], row["rate"], row["p50"], row["p99"]),
            *(row["p99"] / row["p50"] if row["p50"] else None, row["dropped"], row["errors"]),
        )
        for row in one["open"]
    ]
    return _table(("open loop, mask", "due req/s", "req/s", "p50 ms", "p99 ms", "p99 / p50", "dropped", "errors"), rows)


def plot(found: Figures) -> str:
    """Ratio to the bare loop: a panel a model, a group of bars a kind, a bar a number of clients."""
    panels = [_panel(one, number * _HEIGHT) for number, one in enumerate(found["models"])]
    counts = sorted(
        {row["clients"] for one in found["models"] for kind in one["kinds"].values() for row in kind["closed"]}
    )
    legend = "".join(
        f'<rect x="{_LEFT + 90 * number}" y="10" width="12" height="12" fill="{_TONES[number % 4]}"/>'
        f'<text x="{_LEFT + 16 + 90 * number}" y="20">{count} client{"s" * (count > 1)}</text>'
        for number, count in enumerate(counts)
    )
    height = _TOP + len(panels) * _HEIGHT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="11">'
        f'<title>Requests a second, as a share of the bare loop</title><rect width="{_WIDTH}" height="{height}" fill="white"/>'
        f"{legend}{''.join(panels)}</svg>\n"
    )


def _panel(one: Figures, top: int) -> str:
    top += _TOP
    base, tall = top + _HEIGHT - _FOOT, _HEIGHT - _FOOT - 20
    most = max([1.1, *(row["ratio"] for kind in one["kinds"].values() for row in kind["closed"])])
    parts = [f'<text x="{_LEFT}" y="{top + 12}" font-weight="bold">{one["model"]}</text>']
    for mark in (0.0, 0.5, 1.0):
        y = base - tall * mark / most
        dash = "" if mark == 1.0 else ' stroke-dasharray="2 3"'
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="#888"{dash}/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{mark:g}</text>')
    room = (_WIDTH - _LEFT - 8) / max(1, len(one["kinds"]))
    for group, (name, kind) in enumerate(one["kinds"].items()):
        left = _LEFT + group * room + 8
        wide = (room - 16) / max(1, len(kind["closed"]))
        parts.append(f'<text x="{left + (room - 16) / 2:.1f}" y="{base + 16}" text-anchor="middle">{name}</text>')
        for number, row in enumerate(kind["closed"]):
            high = tall * row["ratio"] / most
            x = left + number * wide
            parts.append(
                f'<rect x="{x:.1f}" y="{base - high:.1f}" width="{wide - 2:.1f}" height="{high:.1f}" fill="{_TONES[number % 4]}"/>'
                f'<text x="{x + wide / 2 - 1:.1f}" y="{base - high - 3:.1f}" text-anchor="middle" font-size="9">{row["ratio"]:.2f}</text>'
            )
    return "".join(parts)
