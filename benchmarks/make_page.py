"""Makes docs/benchmarks.md and its plot of docs/benchmarks.json, which `make bench` writes."""

import json
from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

DOCS = Path(__file__).parent.parent / "docs"
SOURCE, PAGE, PLOT = DOCS / "benchmarks.json", DOCS / "benchmarks.md", DOCS / "benchmarks.svg"
PEERS = {  # what each ratio is taken against, by group
    "a folder of 32 photographs": "test_folder_by_the_bare_interpreter",
    "start": "test_start[python -c pass]",
}
BLUE, ORANGE = "#0072b2", "#d55e00"


def main() -> None:
    measured = json.loads(SOURCE.read_text(encoding="utf-8"))
    made_up = any(b["extra_info"].get("made_up") for b in measured["benchmarks"])
    plot(measured["benchmarks"], made_up)
    PAGE.write_text("\n".join(page(measured, made_up)) + "\n", encoding="utf-8")


def page(measured: dict, made_up: bool) -> Iterator[str]:
    device = measured["machine_info"]["device"]
    yield "# Benchmarks\n"
    yield "Made by `make bench` from [benchmarks.json](benchmarks.json); do not edit.\n"
    memory = device["memory_mib"] / 1024
    yield f"- machine: {device['cpu']}, {device['cores']} cores, {memory:.0f} GiB"
    yield f"- CPU features: {', '.join(device['features'])}"
    yield f"- system: {device['system']}, Python {device['python']}"
    yield "\nMedians, and ratios within one run: machines differ, ratios travel better.\n"
    if made_up:
        yield "**The models learnt from made-up pictures: their AUC says nothing about skin.**\n"
    yield "![latency of both models](benchmarks.svg)\n"
    groups: dict[str, list[dict]] = {}
    for one in measured["benchmarks"]:
        groups.setdefault(one["group"], []).append(one)
    for name, members in groups.items():
        yield from table(name, members)


def table(group: str, members: list[dict]) -> Iterator[str]:
    """One group: its median times, each beside the group's first or its named peer."""
    peer = next((m for m in members if m["name"] == PEERS.get(group)), members[0])
    models = "model" in members[0]["extra_info"]
    extra = "".join(f" {head} |" for head in ("peak memory", "size (zipped)", "test AUC")) * models
    yield f"## {group[0].upper()}{group[1:]}\n"
    yield f"| | median | a second | ratio |{extra}"
    yield "|---|--:|--:|--:|" + "--:|--:|--:|" * models
    for one in members:
        seconds = one["stats"]["median"]
        ratio = peer["stats"]["median"] / seconds
        cells = [name(one), f"{seconds * 1000:.2f} ms", f"{1 / seconds:.1f}", f"{ratio:.2f} x"]
        yield f"| {' | '.join(cells + (facts(one['extra_info']) if models else []))} |"
    yield f"\nRatio: how many times as fast as {name(peer)}.\n"


def name(one: dict) -> str:
    if "model" in one["extra_info"]:
        return one["extra_info"]["model"]
    return one["param"] or one["name"].removeprefix("test_").replace("_", " ")


def facts(info: dict) -> list[str]:
    peak, auc = info.get("peak_mib"), info.get("test_auc")
    sizes = f"{info['bytes'] / 1e6:.1f} MB ({info['bytes_zipped'] / 1e6:.1f} MB)"
    accuracy = f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})" if auc else ""
    return [f"{peak:.0f} MiB" if peak else "", sizes, accuracy]


def plot(benchmarks: list[dict], made_up: bool) -> None:
    """Latency of both models, by threads."""
    runs = [b for b in benchmarks if b["name"].startswith("test_diagnose")]
    figure = Figure(figsize=(7, 0.6 + 0.5 * len(runs)), layout="constrained")
    axes = figure.subplots()
    for place, one in enumerate(reversed(runs)):
        info, stats = one["extra_info"], one["stats"]
        colour = ORANGE if info["model"] == "small" else BLUE
        axes.barh(place, stats["median"] * 1000, color=colour, height=0.6)
        axes.text(stats["median"] * 1000, place, f" {stats['median'] * 1000:.1f} ms", va="center")
    axes.set_yticks(
        range(len(runs)),
        [label(b["extra_info"]) for b in runs[::-1]],
    )
    axes.set(xlabel="ms from pixels to verdict, median")
    axes.set_title(f"Latency{' (models from made-up pictures)' * made_up}", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15)
    figure.savefig(PLOT)


def label(info: dict) -> str:
    threads = info["threads"]
    return f"{info['model']}, {threads} thread{'s' * (threads > 1)}"


if __name__ == "__main__":
    main()
