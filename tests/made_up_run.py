"""A run's folder that holds all the LaTeX sources ask for, made up: for tests of the sources, and to look at pages without a run.

python tests/made_up_run.py paper results/made_up
"""

from __future__ import annotations

import sys
from pathlib import Path

from orthogrid.publishing.sources import asked


def figure(line: str = "20 20 400 130 re f") -> bytes:
    """A PDF of 156 mm by 60 mm that draws one frame and one line of commands."""
    stream = f"1 1 440 168 re S 0.85 g {line}"
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 442 170]/Resources<<>>/Contents 4 0 R>>",
        f"<</Length {len(stream)}>>stream\n{stream}\nendstream",
    ]
    text, starts = "%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        starts.append(len(text))
        text += f"{number} 0 obj{content}endobj\n"
    places = "".join(f"{start:010} 00000 n \n" for start in starts)
    text += f"xref\n0 5\n0000000000 65535 f \n{places}trailer<</Size 5/Root 1 0 R>>\nstartxref\n{len(text)}\n%%EOF\n"
    return text.encode()


TABLE = "\\begin{tabular}{@{}lrr@{}}\n\\toprule\nWhat & One & Two\\\\\n\\midrule\na & 1.0 & 2.0\\\\\nb & 3.0 & 4.0\\\\\n\\bottomrule\n\\end{tabular}\n"


def make_up(sources: Path, results: Path, **change: str | dict[str, str]) -> None:
    """Write the folder. `without` names kinds that the run lacks; `verdicts` gives claims another verdict than supported; `title` is the run's."""
    names = asked(sources)
    verdicts = change.get("verdicts", {})
    values = dict.fromkeys(names.values, "1.23")
    values |= {key: "a few seeds" for key in values if key.startswith("seeds-")}
    values |= {key: "0.98 [0.95, 1.00]" for key in values if key.startswith(("measured-", "share-"))}
    values |= {"run-date": "24 November 2026", "run-name": "made-up", "run-title": change.get("title", "no run at all")}
    lines = [rf"\setval{{{key}}}{{{text}}}" for key, text in values.items()]
    claimed = {key: key.partition("-")[2] for key in values if key.startswith(("measured-", "share-"))}
    lines += [
        rf"\setplace{{{key}}}{{{f'claim.{claimed[key]}' if claimed.get(key) in names.claims else f'value.{key}'}}}"
        for key in values
    ]
    lines += [rf"\setverdict{{{claim}}}{{{verdicts.get(claim, 'supported')}}}" for claim in names.claims]
    if "block" not in change.get("without", ""):
        lines += [rf"\setblock{{{block}}}" for block in names.blocks]
    for folder in ("figures", "tables"):
        (results / folder).mkdir(parents=True, exist_ok=True)
    if "figure" not in change.get("without", ""):
        for name in names.figures:
            lines.append(rf"\setfigure{{{name}}}")
            (results / "figures" / f"{name}.pdf").write_bytes(figure())
    if "table" not in change.get("without", ""):
        ledger = [
            rf"\texttt{{{claim}}} & \claimrow{{{verdicts.get(claim, 'supported')}}}{{{claim}}}\\"
            for claim in names.claims
        ]
        numbers = [rf"\valuerow{{{key}}} & {values[key][:40]}\\" for key in values]
        long = {"claims": ledger, "values": numbers, "figures": ["a & b"]}
        for name in names.tables:
            lines.append(rf"\settable{{{name}}}")
            rows = "\n".join(
                ["\\begin{longtable}{@{}ll@{}}", r"\longcaption", *long.get(name, ()), "\\end{longtable}", ""]
            )
            (results / "tables" / f"{name}.tex").write_text(rows if name in long else TABLE, encoding="utf-8")
    (results / "values.tex").write_text("\n".join([*lines, ""]), encoding="utf-8")
    (results / "blocks.tex").write_text("% no blocks but the paper's\n", encoding="utf-8")


if __name__ == "__main__":
    make_up(Path(sys.argv[1]), Path(sys.argv[2]))
