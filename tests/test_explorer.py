"""The explorer holds the run that it was made of, reads nothing else, and does in a browser what its page says."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT
from matplotlib.colors import to_hex

from orthogrid.cells.cell import AXES
from orthogrid.cells.config import check_config, load_config
from orthogrid.presenting.panels import mark
from orthogrid.publishing.explorer import write_explorer
from orthogrid.publishing.explorer.pack import MEASURES, POINTS, TRACED, pack
from orthogrid.theory.outcomes import OUTCOMES

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


def columns_of(header, data):
    return {
        name: np.frombuffer(data, np.dtype(kind).newbyteorder("<"), length, start)
        for name, (kind, start, length) in header["columns"].items()
    }


def parts_of(page: Path):
    """Header and data of a page."""
    found = re.findall(r'id="(header|data)">(.*?)</script>', page.read_text(encoding="utf-8"), re.S)
    return json.loads(dict(found)["header"]), gzip.decompress(base64.b64decode(dict(found)["data"]))


@pytest.fixture(scope="module")
def packed(small_run):
    header, data = pack(small_run)
    return header, columns_of(header, data)


@pytest.fixture(scope="module")
def page(small_run, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "explorer.html"
    write_explorer(small_run, path)
    return path


def test_it_holds_every_cell_with_its_settings_and_measures(small_run, packed):
    header, columns = packed
    cells = small_run.cells
    assert header["cells"] == len(cells) and bytes(columns["key"]).hex() == "".join(cells["key"])
    for axis in header["axes"]:
        assert [axis["values"][i] for i in columns[f"axis {axis['name']}"]] == cells[axis["name"]].tolist()
    assert {axis["name"] for axis in header["axes"]} == set(AXES)
    assert [header["outcomes"][i] for i in columns["outcome"]] == cells["outcome"].tolist()
    kept = [measure["name"] for measure in header["measures"]]
    assert set(kept) <= set(MEASURES) and {"distance", "fit", "position", "trap_ratio", "capture_ratio"} <= set(kept)
    for name in set(kept) & set(cells):
        np.testing.assert_allclose(columns[f"measure {name}"], cells[name].astype(float), rtol=1e-6)
    ratio = cells["reg"] / cells["predicted_trap_threshold"]
    np.testing.assert_allclose(columns["measure trap_ratio"], ratio.where(np.isfinite(ratio) & (ratio > 0)), rtol=1e-6)


def test_it_holds_every_block(small_run, packed):
    header, columns = packed
    for block in header["blocks"]:
        keys = small_run.membership.loc[small_run.membership["block"] == block["name"], "key"]
        assert small_run.cells["key"].iloc[columns[f"block {block['name']}"]].tolist() == keys.tolist()
    assert [block["name"] for block in header["blocks"]] == [block.name for block in small_run.config.blocks]


def test_traces_keep_their_ends_and_two_digits(small_run, packed):
    _, columns = packed
    begins = columns["trace begins"]
    traces = dict(iter(small_run.traces.sort_values("step").groupby("key")))
    for i, key in enumerate(small_run.cells["key"]):
        trace = traces[key]
        kept = slice(begins[i], begins[i + 1])
        steps = columns["trace step"][kept]
        assert len(steps) <= POINTS + 1 and steps[0] == trace["step"].iloc[0] and steps[-1] == trace["step"].iloc[-1]
        whole = trace.set_index("step").loc[steps]
        for name in TRACED:
            values = (columns[f"trace {name}"][kept].astype(np.uint32) << 16).view(np.float32)
            assert np.allclose(values, whole[name].astype(np.float32), rtol=2**-8, atol=0, equal_nan=True)
        assert columns["trace det_sign"][kept].tolist() == whole["det_sign"].fillna(0).tolist()


def test_the_page_is_one_file_that_loads_nothing_and_is_the_same_every_time(small_run, page, tmp_path):
    text = page.read_text(encoding="utf-8")
    ours = re.sub(r'<script type="text/plain" id="(data|plotly)">.*?</script>', "", text, flags=re.S)
    assert not re.search(r"https?:|\bsrc=|\bhref=|@import|url\(|\bfetch\(|XMLHttpRequest|WebSocket|\{\{", ours)
    header, data = pack(small_run)
    assert parts_of(page) == (json.loads(json.dumps(header)), data)
    write_explorer(small_run, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_outcomes_have_the_colours_of_the_papers_markers():
    script = (ROOT / "src" / "orthogrid" / "publishing" / "explorer" / "page.js").read_text(encoding="utf-8")
    told = dict(re.findall(r'"?\b(\w[\w ]*)"?: \["(#\w{6})"', script))
    for outcome in OUTCOMES:
        assert told[outcome] == to_hex(mark(outcome)["color"])


def test_a_title_is_text(small_run, tmp_path):
    config = replace(small_run.config, title="</script><b>5 < 6 & 7")
    write_explorer(replace(small_run, config=config), tmp_path / "x.html")
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "&lt;/script>&lt;b>5 &lt; 6 &amp; 7" in text and "</script><b>" not in text


def test_a_run_without_finished_cells_has_a_page(small_run):
    cells = small_run.cells.assign(status="missing", outcome="", distance=np.nan, position=np.nan)
    header, data = pack(replace(small_run, cells=cells, traces=small_run.traces.iloc[:0]))
    columns = columns_of(header, data)
    assert {header["outcomes"][i] for i in columns["outcome"]} == {"missing"} and not columns["trace begins"].any()


@pytest.fixture(scope="module")
def published():
    """Header and columns of the page that the README links."""
    header, data = parts_of(ROOT / "docs" / "explorer.html")
    return header, columns_of(header, data)


def test_the_page_that_the_readme_links_is_of_the_published_run(published):
    """Of that whose PDFs and summary are kept. The config may be ahead, while another run is trained."""
    header, columns = published
    kept = json.loads((ROOT / "results" / "full" / "run.json").read_text(encoding="utf-8"))
    assert (header["run"], header["cells"], header["config"]) == ("full", kept["cells"], "config/full.yaml")
    config = load_config(ROOT / "config" / "full.yaml")
    if kept["digest"] == config.digest:
        assert bytes(columns["key"]).hex() == "".join(cell.key for cell in config.cells)


@pytest.mark.parametrize("name", [name for name, (_, law, _) in MEASURES.items() if law])
def test_laws_are_drawn_where_the_published_runs_are(published, name):
    """Half of the runs that a law speaks of lie within 6 % of it; it would show if it were drawn by another scale."""
    header, columns = published
    (of,) = (measure["of"] for measure in header["measures"] if measure["name"] == name)
    value, law = columns[f"measure {name}"].astype(float), columns[f"law {name}"].astype(float)
    told = np.isfinite(value) & np.isfinite(law)
    if of:
        told &= columns["outcome"] == header["outcomes"].index(of)
    assert told.sum() > 300
    assert np.median(np.abs(value - law)[told] / np.abs(law[told])) < 0.06


@pytest.mark.skipif(not shutil.which("node"), reason="no node here")
def test_a_block_without_a_value_on_the_axes_shown_is_shown_on_its_own(packed, tmp_path):
    """The ablation's samples are few: it has no place in the phase diagram that the page begins with."""
    script = (ROOT / "src" / "orthogrid" / "publishing" / "explorer" / "page.js").read_text(encoding="utf-8")
    header, columns = packed
    run = {"header": header, "columns": {name: column.tolist() for name, column in columns.items()}}
    calls = """
runs.push(told);
state = { ...START }; globalThis.history = { replaceState() {} }; show = () => {};
change({ block: "ablation" });
console.log(visible(runs[0]).length, state.x, state.y);
"""
    parts = [f"const told = {json.dumps(run)};", script[: script.rindex("start()")], calls]
    (tmp_path / "a.cjs").write_text("\n".join(parts), encoding="utf-8")
    done = subprocess.run(["node", str(tmp_path / "a.cjs")], capture_output=True, text=True)
    assert re.fullmatch(r"[1-9]\d* (penalty|reg) distance\n", done.stdout), done


# ---- In a browser ----


class Browser:
    """Headless Chromium with a page that is drawn."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, page: Path, link: str = "") -> None:
        self.driver.get("about:blank")
        self.driver.get(f"{page.as_uri()}{link}")
        self.settle()

    def settle(self, least: int = 1) -> None:
        deadline = time.monotonic() + 30
        while int(self.driver.execute_script("return document.body.dataset.drawn || 0")) < least:
            assert time.monotonic() < deadline, self.text("#status")
            time.sleep(0.05)

    def find(self, selector: str):
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def pick(self, name: str, value: str) -> None:
        from selenium.webdriver.support.ui import Select

        Select(self.find(f"#{name}")).select_by_value(value)

    def points(self, number: int = 0) -> int:
        """The dots of a plot that stand for cells."""
        script = "return document.getElementById(arguments[0]).data.filter(t => t.customdata).reduce((n, t) => n + t.x.length, 0)"
        return self.driver.execute_script(script, f"plot{number}")

    def complaints(self) -> list[str]:
        return [line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver")
    if not (CHROMIUM and DRIVER):
        pytest.skip("no chromium and chromium-driver here")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1300,1200"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield Browser(driver)
    driver.quit()


@pytest.mark.slow
def test_in_a_browser_choices_filter_and_are_in_the_link(browser, page, small_run):
    browser.open(page)
    assert browser.points() > 0 and browser.find("#detail").is_displayed() is False
    block = next(block for block in small_run.config.blocks if len(block.cells) > 2)
    browser.pick("x", "reg")
    browser.pick("y", "fit")
    browser.pick("block", block.name)
    finished = small_run.block(block.name)
    assert browser.points() == (finished["fit"] > 0).sum() > 0
    assert browser.text("#question") == block.question
    browser.pick("penalty", finished["penalty"].iloc[0])
    fewer = browser.points()
    assert fewer == ((finished["fit"] > 0) & (finished["penalty"] == finished["penalty"].iloc[0])).sum()
    link = browser.driver.current_url
    browser.pick("colour", "distance")  # a measure
    assert browser.points() == fewer
    browser.open(page, "#" + link.split("#")[1])
    assert browser.points() == fewer and browser.find("#block").get_property("value") == block.name
    assert browser.complaints() == []


@pytest.mark.slow
def test_in_a_browser_a_link_also_keeps_what_is_usual_in_other_runs(browser, small_run, tmp_path):
    """Without a phase diagram the page begins with a block, and a link to all blocks must say so."""
    unknown = dict.fromkeys(("predicted_trap_threshold", "predicted_capture_threshold"), np.nan)
    write_explorer(replace(small_run, cells=small_run.cells.assign(**unknown)), tmp_path / "x.html")
    browser.open(tmp_path / "x.html")
    assert browser.find("#block").get_property("value") == "identifiability"
    some = browser.points()
    browser.pick("block", "")
    every = browser.points()
    assert every > some
    browser.open(tmp_path / "x.html", "#" + browser.driver.current_url.split("#")[1])
    assert browser.find("#block").get_property("value") == "" and browser.points() == every


@pytest.mark.slow
def test_in_a_browser_a_dot_shows_its_cell_and_what_makes_it_again(browser, page, small_run, tmp_path):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser.open(page, "#x=reg&y=fit&penalty=fro2")  # a dot with neighbours: a closed form has no reg
    dot = browser.driver.execute_script("""
        const plot = document.getElementById("plot0");
        const k = plot.data.findIndex((t) => t.customdata?.length);
        const {xaxis, yaxis} = plot._fullLayout, box = plot.getBoundingClientRect(), t = plot.data[k];
        return [box.left + xaxis._offset + xaxis.c2p(t.x[0]), box.top + yaxis._offset + yaxis.c2p(t.y[0])];
    """)
    ActionChains(browser.driver).move_by_offset(*map(round, dot)).click().perform()
    time.sleep(0.5)
    key = browser.text("#detail h2").split()[1]
    cell = small_run.cells.set_index("key").loc[key]
    names, told = (
        [e.text for e in browser.driver.find_elements("css selector", f"#settings {d}")] for d in ("dt", "dd")
    )
    shown = dict(zip(names, told, strict=True))
    assert shown["penalty"] == cell["penalty"] and float(shown["reg"]) == cell["reg"] and set(shown) == set(AXES)
    assert cell["outcome"] in browser.text("#detail h2")
    assert browser.text("#again").endswith(f"--key {key} --again")
    assert len(browser.driver.find_elements("css selector", "#trace .scatterlayer .trace")) == len(TRACED)
    block = yaml.safe_load(browser.text("#yaml"))
    neighbours = check_config({"run": "x", "blocks": block}).cells
    assert key in {near.key for near in neighbours} and len(neighbours) > 1
    browser.find("#plots").send_keys(Keys.ARROW_RIGHT)
    assert browser.text("#detail h2").split()[1] != key
    browser.find("#plots").send_keys(Keys.ARROW_LEFT)
    assert browser.text("#detail h2").split()[1] == key
    assert f"key={key}" in browser.driver.current_url and browser.complaints() == []


@pytest.mark.slow
def test_in_a_browser_every_view_is_drawn_and_fits_a_phone(browser, page, tmp_path):
    browser.open(page)
    seen = set()
    for size in ((1300, 1200), (420, 900)):
        browser.driver.set_window_size(*size)
        for button in browser.driver.find_elements("css selector", "#presets button"):
            button.click()
            assert button.get_attribute("aria-pressed") == "true"
            picture = tmp_path / f"{size[0]}-{button.text}.png"
            browser.driver.save_screenshot(str(picture))
            seen.add(picture.read_bytes())
            wide, window = browser.driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
            assert wide <= window
    assert len(seen) == 2 * len(browser.driver.find_elements("css selector", "#presets button")) >= 6
    browser.driver.set_window_size(1300, 1200)
    unnamed = "return [...document.querySelectorAll('select, input, button')].filter(e => !(e.labels?.length || e.textContent || e.ariaLabel || e.dataset.title)).length"
    assert browser.driver.execute_script(unnamed) == 0 and browser.complaints() == []


@pytest.mark.slow
def test_in_a_browser_another_run_stands_beside_and_a_wrong_file_is_told(browser, page, small_run, tmp_path):
    half = small_run.config.blocks[: len(small_run.config.blocks) // 2]
    keys = {cell.key for block in half for cell in block.cells}
    config = replace(small_run.config, run="other", blocks=half)
    tables = {name: getattr(small_run, name) for name in ("cells", "traces", "membership")}
    tables = {name: table[table["key"].isin(keys)] for name, table in tables.items()}
    membership = tables["membership"]
    tables["membership"] = membership[membership["block"].isin([block.name for block in half])]
    write_explorer(replace(small_run, config=config, **tables), tmp_path / "other.html")
    browser.open(page, "#x=reg&y=fit")
    alone = browser.points()
    (tmp_path / "wrong.html").write_text("<p>no run</p>")
    browser.find("#other").send_keys(str(tmp_path / "wrong.html"))
    time.sleep(0.5)
    assert browser.text("#status") == "wrong.html is no explorer of a run."
    browser.find("#other").send_keys(str(tmp_path / "other.html"))
    browser.settle(2)
    assert browser.points(0) == alone and 0 < browser.points(1) < alone
    assert f"of {len(keys)} runs of other" in browser.text("#status") and browser.complaints() == []
