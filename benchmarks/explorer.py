"""python -m benchmarks.explorer: how large a run's page is, and how long a browser takes to draw it.

The published run's page, and that of 4000 of its cells at random, opened from disk in headless Chromium. Seconds are from the call
until every dot is drawn, the median of five. Writes results/bench/explorer.csv. Wants an idle machine, Debian's chromium and
chromium-driver, and tests/requirements.txt.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import pandas as pd
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from orthogrid.cells.config import load_config
from orthogrid.jobs.files import write_table
from orthogrid.publishing.explorer import write_explorer
from orthogrid.run.run import Run

ROOT = Path(__file__).parents[1]
FEWER = 4000
OPENINGS = 5


def part(run: Run, cells: int) -> Run:
    """A run of so many of its cells."""
    kept = run.cells.sample(cells, random_state=1).sort_index()
    traces, membership = (
        table[table["key"].isin(kept["key"])].reset_index(drop=True) for table in (run.traces, run.membership)
    )
    return replace(run, cells=kept.reset_index(drop=True), traces=traces, membership=membership)


def opened(page: Path) -> float:
    """Seconds until a page is drawn, in a browser of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1300,1200"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        started = time.perf_counter()
        driver.get(page.as_uri())
        WebDriverWait(driver, 60, 0.02).until(lambda it: it.execute_script("return document.body.dataset.drawn"))
        return time.perf_counter() - started
    finally:
        driver.quit()


def main() -> int:
    config = load_config(ROOT / "config" / "full.yaml")
    if not (config.root / "cells.csv").exists():
        raise SystemExit("results/full has no tables yet: make published")
    run = Run.read(config, config.root, ROOT / "data" / "thread")
    records = []
    with tempfile.TemporaryDirectory() as folder:
        for one in (part(run, FEWER), run):
            page = Path(folder) / f"{len(one.cells)}.html"
            write_explorer(one, page)
            seconds = median(opened(page) for _ in range(OPENINGS))
            records.append({"cells": len(one.cells), "megabytes": page.stat().st_size / 1e6, "seconds": seconds})
    table = pd.DataFrame(records)
    write_table(table, ROOT / "results" / "bench" / "explorer.csv")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.2f}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
