"""An evaluation as one page of HTML: no scripts, nothing fetched, readable in light and dark, made to be printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from shared.emotions import EMOTIONS
from training.charts import Axis, Series, legend, line_chart, percents

_TEMPLATE = "report.html.j2"


def percent(share: float | None, places: int = 1) -> str:
    """A share as a percentage; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.{places}f}%"


def interval(low_and_high: list[float]) -> str:
    """A 95% interval in words."""
    return f"{percent(low_and_high[0])} to {percent(low_and_high[1])}"


def _reliability(report: dict[str, Any]) -> Markup:
    names = ("before temperature", "after temperature")
    curves = (report["reliability_before_temperature"], report["reliability"])
    series = [Series(name, c["confidence"], c["accuracy"]) for name, c in zip(names, curves, strict=True)]
    chart = line_chart(
        "Reliability: accuracy over confidence", series, percents("confidence"), percents("accuracy"), diagonal=True
    )
    return legend(names) + chart


def _risk_coverage(report: dict[str, Any]) -> Markup:
    curve = report["risk_coverage"]
    top = 0.5 if max(curve["risk"]) <= 0.5 else 1.0
    series = [Series("risk", curve["coverage"], curve["risk"])]
    return legend(["share of wrong answers"]) + line_chart(
        "Share of wrong answers over the share of faces answered",
        series,
        percents("faces answered, the most confident first"),
        percents("wrong", 0, top),
    )


def _robustness(report: dict[str, Any]) -> list[tuple[str, Markup]]:
    charts = []
    for name, shares in report["robustness"].items():
        # Strengths are not evenly spaced and some run both ways, so each has its own tick.
        places = list(range(len(shares)))
        axis = Axis(name, -0.3, len(shares) - 0.7, list(zip(places, shares, strict=True)))
        series = [
            Series("changed", places, list(shares.values())),
            Series("as it is", [-0.3, len(shares) - 0.7], [report["accuracy"]] * 2),
        ]
        charts.append((name, line_chart(name, series, axis, percents("accuracy"), width=240, height=170)))
    return charts


def page(report: dict[str, Any]) -> str:
    """The page of a report that ``training.evaluate`` made; what was not measured is not on it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, interval=interval)
    confusion = report["confusion"]
    return environment.get_template(_TEMPLATE).render(
        report=report,
        emotions=EMOTIONS,
        shares=[[count / max(1, sum(row)) for count in row] for row in confusion],
        reliability=_reliability(report),
        risk_coverage=_risk_coverage(report),
        robustness_legend=legend(["changed", "as it is"]),
        robustness=_robustness(report) if "robustness" in report else [],
    )
