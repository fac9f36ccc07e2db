"""The page for a layer of one's own: its lines run as they stand, and do what it says."""

import re

import pytest
import torch
from conftest import ROOT


def test_each_case_runs_as_it_stands_and_does_what_it_says(capsys):
    text = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    cases = text[: text.index("# The library")]
    names = {}
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", cases, re.M):
        exec(re.sub(r"^    ", "", block, flags=re.M), names)
    assert names["found"].rate_floor == pytest.approx(0.22 * 16**2 * 0.01, rel=0.1)
    trained = names["layer"].weight.detach()
    assert float((trained - names["rotation"]).norm()) < 0.05 and names["row"].row_norm < 0.05
    assert "obstacle" in capsys.readouterr().out


def test_the_recipe_for_a_network_makes_it_orthogonal():
    text = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    section = text[text.index("**In a network of your own.**") :]
    block = re.search(r"^    .*\n(?:    .*\n|\n)*", section, re.M)[0]
    torch.manual_seed(0)
    names = {}
    exec(re.sub(r"^    ", "", block, flags=re.M), names)
    trained, fresh = names["network"], names["Network"]()
    assert trained.penalty() < 0.01 * fresh.penalty()
    rows = trained.linear.weight.detach()
    assert rows.shape == (32, 64) and (rows @ rows.mT - torch.eye(32)).norm() < 0.5
    kernels = trained.conv.weight.detach().flatten(1)
    assert (kernels @ kernels.mT - torch.eye(16)).norm() < 0.5
