"""The house: its budgets, its rooms, and which way imports run."""

from __future__ import annotations

import re

import pytest
from benchmarks.budgets import circles, room, sources, state
from conftest import ROOT

# What of `python -m benchmarks.budgets` is held. To come: circles, machine, paper.
HELD = ("rooms", "engine", "practice")


@pytest.mark.parametrize("what", HELD)
def test_the_house_keeps_to_its_budgets(what):
    holds, text = state()[what]
    assert holds, text


def test_circles_are_found():
    assert circles({("a", "b"), ("b", "c")}) == "none"
    assert circles({("a", "b"), ("b", "c"), ("c", "d"), ("d", "b"), ("x", "y"), ("y", "x")}) == "b, c, d; x, y"


def test_the_page_of_the_house_names_every_room():
    text = (ROOT / "docs" / "house.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+)/?` \|", text, re.M))
    assert {room(module) for module in sources()} - named <= {"figures"}  # to come: the other way round, too
    way = "".join(re.findall(r"^\d\. .*$", text, re.M))
    for module, name in re.findall(r"`([\w/]+)\.(\w+)`", way):
        assert module in sources() and re.search(rf"^(def|class) {name}\b", sources()[module], re.M), (module, name)
