#!/usr/bin/env python3
"""Draws the dashboard without Grafana, for the README: its panels, with what a running Prometheus knows.

    picture.py PROMETHEUS_URL OUTPUT.png SECONDS

Needs no more than Python and Debian's Chromium. `make dashboard-picture` runs it. Grafana itself shows the same panels,
laid out alike; fonts and colours are not its own.
"""

import html
import json
import math
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

WIDTH, UNIT, GAP = 1200, 17, 6  # pixels; a panel is so many units high
LEGENDS = 7  # entries below a panel, of the largest, as far as they fit
POINTS = 120
COLOURS = ["#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#8ab8ff", "#ffa6b0", "#96d98d", "#ca95e5"]
NAMED = {"green": "#37872d", "yellow": "#a67c00", "red": "#b0283a", "blue": "#1f60c4"}
VARIABLES = {"$__rate_interval": "10s", "$namespace": ".*", "$job": "connection-worker", "$instance": ".*", "$organisation": ".*"}


def query(url, expression, end, seconds):
    """The series of an expression: their labels, and their values by time."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    parameters = {"query": expression, "start": end - seconds, "end": end, "step": max(1, seconds // POINTS)}
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{urllib.parse.urlencode(parameters)}") as answer:
        result = json.load(answer)["data"]["result"]
    return [
        (series["metric"], [(at, float(value)) for at, value in series["values"] if math.isfinite(float(value))])
        for series in result
    ]


def legend(form, labels):
    """The name of a series, as its panel wants it."""
    named = re.sub(r"{{(\w+)}}", lambda label: labels.get(label[1], ""), form).strip()
    return named or ", ".join(labels.values()) or "value"


def short(value):
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def shown(value, unit):
    """A number with its unit, short."""
    if unit == "percentunit":
        return f"{value * 100:.1f}%" if value < 0.1 else f"{value * 100:.0f}%"
    if unit == "s":
        for limit, size, name in ((1, 0.001, "ms"), (120, 1, "s"), (7200, 60, "min"), (math.inf, 3600, "h")):
            if value < limit:
                return f"{short(value / size)} {name}"
    if unit == "bytes":
        for limit, size, name in ((1024, 1, "B"), (2**20, 2**10, "KiB"), (2**30, 2**20, "MiB"), (math.inf, 2**30, "GiB")):
            if value < limit:
                return f"{short(value / size)} {name}"
    return short(value) + ("/s" if unit == "reqps" else "")


def ceiling(value):
    """The next round number."""
    if value <= 0:
        return 1.0
    size = 10 ** math.floor(math.log10(value))
    return next(size * step for step in (1, 2, 2.5, 5, 10) if size * step >= value)


def points(values, start, seconds, top, box):
    left, upper, width, height = box
    return [
        (left + (at - start) / seconds * width, upper + height - min(max(value / top, 0), 1) * height) for at, value in values
    ]


def path(coordinates):
    return " ".join(f"{'M' if index == 0 else 'L'}{x:.1f},{y:.1f}" for index, (x, y) in enumerate(coordinates))


def stacked(series):
    """Each series on top of those before it."""
    sums, layers = {}, []
    for name, values in series:
        layer = []
        for at, value in values:
            below = sums.get(at, 0.0)
            sums[at] = below + value
            layer.append((at, below, sums[at]))
        layers.append((name, layer))
    return layers


def chart(panel, series, start, seconds, width, height):
    """A panel with lines, or with areas on top of each other."""
    defaults = panel["fieldConfig"]["defaults"]
    is_stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    unit = defaults["unit"]
    layers = stacked(series) if is_stacked else None
    highest = max((v for _, values in series for _, v in values), default=0)
    if layers:
        highest = max((upper for _, layer in layers for _, _, upper in layer), default=0)
    top = defaults.get("max") or ceiling(highest)
    box = (48, 25, width - 56, height - 62)
    left, upper, inner, tall = box
    out = []
    for step in range(5):
        y = upper + tall - tall * step / 4
        out.append(f'<line x1="{left}" x2="{left + inner}" y1="{y:.1f}" y2="{y:.1f}" stroke="#2c3235"/>')
        if step % 2 == 0:
            label = shown(top * step / 4, unit)
            out.append(f'<text x="{left - 5}" y="{y + 4:.1f}" class="axis" text-anchor="end">{label}</text>')
    for step in range(5):
        at = time.strftime("%H:%M:%S", time.gmtime(start + seconds * step / 4))
        x = left + inner * step / 4
        anchor = {0: "start", 4: "end"}.get(step, "middle")
        out.append(f'<text x="{x:.1f}" y="{upper + tall + 14}" class="axis" text-anchor="{anchor}">{at}</text>')
    for index, (name, values) in enumerate(series):
        colour = COLOURS[index % len(COLOURS)]
        if layers and values:
            _, layer = layers[index]
            over = points([(at, high) for at, _, high in layer], start, seconds, top, box)
            under = points([(at, low) for at, low, _ in layer], start, seconds, top, box)
            area = path(over + under[::-1])
            out.append(f'<path d="{area}Z" fill="{colour}" fill-opacity="0.45" shape-rendering="crispEdges"/>')
            out.append(f'<path d="{path(over)}" fill="none" stroke="{colour}" shape-rendering="crispEdges"/>')
        elif values:
            line = path(points(values, start, seconds, top, box))
            out.append(f'<path d="{line}" fill="none" stroke="{colour}" shape-rendering="crispEdges"/>')
    threshold = (defaults.get("thresholds") or {"steps": [{}]})["steps"][-1].get("value")
    if threshold and threshold <= top:
        y = upper + tall - threshold / top * tall
        out.append(f'<line x1="{left}" x2="{left + inner}" y1="{y:.1f}" y2="{y:.1f}" stroke="#f2495c"/>')
    peaks = [(max((v for _, v in values), default=0), index, name) for index, (name, values) in enumerate(series)]
    chosen = sorted(sorted(peaks, reverse=True)[:LEGENDS], key=lambda peak: peak[1])
    x, y = 10, upper + tall + 31
    for _, index, name in chosen:
        long = 20 + 5.5 * len(name)
        if x + long > width:
            break
        out.append(f'<rect x="{x}" y="{y - 4}" width="9" height="3" fill="{COLOURS[index % len(COLOURS)]}"/>')
        out.append(f'<text x="{x + 12}" y="{y}" class="axis">{html.escape(name)}</text>')
        x += long
    return "".join(out)


def said(value, mappings):
    """What a panel says in place of a number: text and colour, or nothing."""
    for mapping in mappings:
        options = mapping["options"]
        if mapping["type"] == "range" and options["from"] <= value <= options["to"]:
            return options["result"]
        if mapping["type"] == "value" and f"{value:g}" in options:
            return options[f"{value:g}"]
    return {}


def tile(panel, series, start, seconds, width, height):
    """A panel with one number, on the colour of its threshold."""
    defaults = panel["fieldConfig"]["defaults"]
    values = series[0][1] if series else []
    if not values:
        return f'<text x="{width / 2}" y="{height / 2}" class="value" text-anchor="middle">no data</text>'
    last = values[-1][1]
    steps = defaults["thresholds"]["steps"]
    colour = [step["color"] for step in steps if step["value"] is None or last >= step["value"]][-1]
    mapped = said(last, defaults["mappings"])
    text = mapped.get("text") or shown(last, defaults["unit"])
    colour = mapped.get("color", colour)
    top = max(max(value for _, value in values), 1e-9)
    line = points(values, start, seconds, top * 1.1, (1, height * 0.55, width - 2, height * 0.44))
    area = path([(line[0][0], height - 1), *line, (line[-1][0], height - 1)])
    return (
        f'<rect x="1" y="1" width="{width - 2}" height="{height - 2}" rx="3" fill="{NAMED[colour]}"/>'
        f'<path d="{area}Z" fill="#fff" fill-opacity="0.18"/>'
        f'<text x="{width / 2}" y="{height / 2 + 13}" class="value" text-anchor="middle">{text}</text>'
    )


def draw(dashboard, url, seconds):
    """The page, and its height."""
    end = time.time()
    start, column = end - seconds, WIDTH / 24
    parts, bottom = [], 0
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        x, y = grid["x"] * column, grid["y"] * UNIT
        width, height = grid["w"] * column - GAP, grid["h"] * UNIT - GAP
        bottom = max(bottom, y + height)
        title = html.escape(panel["title"])
        if panel["type"] == "row":
            parts.append(f'<text x="{x + 4}" y="{y + 14}" class="row">{title}</text>')
            continue
        series = [
            (legend(target["legendFormat"], labels), values)
            for target in panel["targets"]
            for labels, values in query(url, target["expr"], end, seconds)
        ]
        body = (tile if panel["type"] == "stat" else chart)(panel, series, start, seconds, width, height)
        parts.append(
            f'<g transform="translate({x:.0f},{y:.0f})">'
            f'<rect width="{width:.0f}" height="{height:.0f}" rx="3" fill="#181b1f" stroke="#25292e"/>'
            f'{body}<text x="8" y="17" class="title">{title}</text></g>'
        )
    style = (
        "body{margin:8px;background:#111217}text{font-family:sans-serif;fill:#d8d9da}"
        ".title{font-size:12px}.axis{font-size:9.5px;fill:#9fa7b3}.row{font-size:14px;font-weight:bold}"
        ".value{font-size:25px;font-weight:bold;fill:#fff}"
    )
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom:.0f}">{"".join(parts)}</svg>'
    return f"<!doctype html><meta charset=utf-8><style>{style}</style>{svg}", int(bottom) + 16


def main():
    url, output, seconds = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    browser = shutil.which("chromium") or sys.exit("picture.py: chromium is missing")
    dashboard = json.loads(pathlib.Path(__file__).with_name("connection-worker.json").read_text("utf-8"))
    page, height = draw(dashboard, url, seconds)
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "page.html")
        source.write_text(page, "utf-8")
        quiet = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
        quiet += " --disable-component-update --disable-sync --hide-scrollbars"
        command = [browser, "--headless", *quiet.split(), f"--user-data-dir={folder}/profile"]
        command += [f"--window-size={WIDTH + 16},{height}", f"--screenshot={output.absolute()}", source.as_uri()]
        subprocess.run(command, check=True, timeout=120, capture_output=True)
    print(f"{output}: {output.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
