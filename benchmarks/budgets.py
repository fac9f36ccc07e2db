"""python -m benchmarks.budgets: the house in numbers. Lines against their budgets, rooms, circles of imports, the way of one reg.

A room is a folder of the package, or a module that lies in none. The way of one reg is every function of the package that
is called at all while four cells go from YAML to the explorer's dots and the verdicts.
"""

from __future__ import annotations

import ast
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType

import yaml

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "orthogrid"
MOST_ROOMS = 20
BUDGETS = {
    "machine": (2700, ("cells", "jobs", "run", "tools", "__main__", "__init__")),
    "engine": (3260, ("numerics", "training", "penalties", "methods", "models")),
    "paper": (4600, ("theory", "analysis", "presenting", "sections", "figures", "publishing")),
    "practice": (745, ("practice",)),
}
FOUR = {"dimension": 6, "samples": 12, "steps": 20, "reg": [1, 10], "seed": [1, 2]}


def room(module: str) -> str:
    return module.partition("/")[0]


def sources() -> dict[str, str]:
    """The text of each module, by its path in the package without the ending; a folder's __init__ is the folder."""
    files = {path.relative_to(PACKAGE).with_suffix("").as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
    return {name.removesuffix("/__init__"): path.read_text(encoding="utf-8") for name, path in files.items()}


def lines_by_room() -> Counter[str]:
    lines: Counter[str] = Counter()
    for module, text in sources().items():
        lines[room(module)] += text.count("\n")
    return lines


def imports(at_once: bool) -> set[tuple[str, str]]:
    """Pairs of modules of which the first imports the second: when it is loaded itself, or else later or for type checkers only."""
    texts, pairs = sources(), set()
    for module, text in texts.items():
        tree = ast.parse(text)
        late = {inner for node in ast.walk(tree) if _is_late(node) for inner in ast.walk(node)}
        here = module if (PACKAGE / module).is_dir() else str(Path(module).parent)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level and (node not in late) == at_once:
                base = Path(here, *[".."] * (node.level - 1), *(node.module or "").split("."))
                names = [base, *(base / alias.name for alias in node.names)]
                found = {str((PACKAGE / name).resolve().relative_to(PACKAGE)) for name in names}
                pairs |= {(module, other) for other in found & texts.keys() if other != module}
    return pairs


def _is_late(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))


def between_rooms(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(room(a), room(b)) for a, b in pairs if room(a) != room(b)}


def circles(pairs: set[tuple[str, str]]) -> str:
    """The sets of names that import each other, in words."""
    reach = {name: {b for a, b in pairs if a == name} for pair in pairs for name in pair}
    for _ in range(len(reach).bit_length()):
        reach = {name: found.union(*(reach[other] for other in found)) for name, found in reach.items()}
    found = {tuple(sorted(b for b in reach if a in reach[b] and b in reach[a])) for a in reach if a in reach[a]}
    return "; ".join(map(", ".join, sorted(found))) or "none"


def state() -> dict[str, tuple[bool, str]]:
    """What is held: whether it holds, and how it stands, in words."""
    lines = lines_by_room()
    counts = {part: [f"{name} {lines[name]}" for name in names if lines[name]] for part, (_, names) in BUDGETS.items()}
    totals = {part: sum(lines[name] for name in names) for part, (_, names) in BUDGETS.items()}
    found = {
        part: (totals[part] <= most, f"{totals[part]} of {most} lines: {', '.join(counts[part])}")
        for part, (most, _) in BUDGETS.items()
    }
    homeless = sorted(lines.keys() - {name for _, names in BUDGETS.values() for name in names})
    text = f"{len(lines)} of {MOST_ROOMS}; of no part: {', '.join(homeless) or 'none'}"
    found["rooms"] = (len(lines) <= MOST_ROOMS and not homeless, text)
    circle = circles(between_rooms(imports(at_once=True)))
    return found | {"circles": (circle == "none", f"between rooms: {circle}")}


def way_of_one_reg() -> Counter[str]:
    """By module, how many functions of the package are called."""
    from orthogrid.cells.config import load_config
    from orthogrid.jobs.files import read_table, write_table
    from orthogrid.jobs.plan import Plan
    from orthogrid.jobs.runner import train_run
    from orthogrid.publishing.explorer.pack import pack
    from orthogrid.run.collect import collect
    from orthogrid.run.run import Run
    from orthogrid.sections import judge
    from orthogrid.theory.predictions import predict_cells

    called = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        name = frame.f_code.co_qualname
        if event == "call" and frame.f_code.co_filename.startswith(str(PACKAGE)) and not name.endswith(">"):
            called.add((frame.f_code.co_filename, name))  # what has no name, a lambda say, is no function of its own

    data = ROOT / "data" / "thread"
    with tempfile.TemporaryDirectory() as folder:
        raw = {"run": "four", "results": folder, "blocks": [{"name": "grid", "axes": FOUR}]}
        Path(folder, "four.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
        sys.setprofile(note)
        config = load_config(Path(folder, "four.yaml"))
        train_run(config, Plan(config).missing, device="cpu")
        predictions = predict_cells(config)
        write_table(predictions, config.root / "predictions.csv")
        collect(config, Plan(config).files, predictions, tuple(read_table(data / f"log_{name}.csv") for name in "ab"))
        run = Run.read(config, config.root, data)
        pack(run)
        judge(run)
        sys.setprofile(None)
    return Counter(str(Path(file).relative_to(PACKAGE)) for file, _ in called)


def main() -> None:
    for name, (holds, text) in state().items():
        print(f"{name:<10}{'ok  ' if holds else 'over'}  {text}")
    at_once, later = imports(at_once=True), imports(at_once=False)
    print(f"{'':<16}between modules: {circles(at_once)}")
    print(f"{'':<16}between rooms, with imports inside functions: {circles(between_rooms(at_once | later))}")
    way = way_of_one_reg()
    print(f"one reg passes {way.total()} functions in {len(way)} modules")


if __name__ == "__main__":
    main()
