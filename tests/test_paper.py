"""What the paper prints beside numbers: its lines of code run, its abstract and pages keep their bounds."""

from __future__ import annotations

import re
import runpy

import pytest
import torch
from conftest import ROOT
from pypdf import PdfReader

from orthogrid.publishing.sources import COMMENT

PAPER = ROOT / "paper"
WORDS, NUMBERS = 150, 5  # of the abstract, at most
LENGTH = 10, 12  # pages


@pytest.mark.parametrize("side", [1, -1])
def test_the_printed_lines_find_the_target_from_either_side(side):
    learn_rotation = runpy.run_path(str(PAPER / "code" / "one_row.py"))["learn_rotation"]
    torch.manual_seed(0)
    n = 8
    rho = torch.nn.init.orthogonal_(torch.empty(n, n))
    rho[0] *= side * torch.linalg.det(rho).sign()
    x = torch.rand(5 * n, n)
    weight, extra = learn_rotation(x, x @ rho, steps=1500)
    assert torch.linalg.det(weight).sign() == side and extra < 0.01
    torch.testing.assert_close(weight, rho.mT, rtol=0, atol=0.01)


def plain(source: str) -> str:
    """The words of some LaTeX: macros with one argument give way to it, mathematics to one word."""
    source = COMMENT.sub("", source)
    source = re.sub(r"\\says(\[[^\]]*\])?\{[^{}]*\}", "", source)
    source = re.sub(r"\$[^$]*\$", "formula", source)
    return re.sub(r"\\(begin|end)\{[^}]*\}|[{}]", " ", re.sub(r"\\(texttt|emph)\b", "", source))


def test_the_abstract_is_short():
    words = plain((PAPER / "sections" / "abstract.tex").read_text(encoding="utf-8")).split()
    assert len(words) <= WORDS
    assert sum(word.startswith(r"\val") for word in words) <= NUMBERS


def test_the_paper_has_its_length():
    """The published one, in which every sentence is borne out as foretold."""
    pages = PdfReader(ROOT / "results" / "full" / "paper.pdf").pages
    assert LENGTH[0] <= len(pages) <= LENGTH[1]
    assert "does not bear out" not in pages[0].extract_text()
    assert 5 <= len(set(re.findall(r"Figure (\d+):", " ".join(page.extract_text() for page in pages)))) <= 8


@pytest.mark.parametrize("file", ["abstract", "remedy"])
def test_each_sentence_of_abstract_and_decision_table_has_its_claims(file):
    """And as supported ones: no other verdict is expected there."""
    source = COMMENT.sub("", (PAPER / "sections" / f"{file}.tex").read_text(encoding="utf-8"))
    if file == "remedy":
        source = re.search(r"\\midrule(.*)\\bottomrule", source, re.S)[1]
        cells = [re.split(r"(?<!\\)&", row)[1] for row in re.split(r"\\\\", source) if row.count("&")]
    else:
        cells = [re.search(r"\\begin\{abstract\}(.*)\\end\{abstract\}", source, re.S)[1]]
    assert cells
    for cell in cells:
        assert r"\says[" not in cell
        left = strip_says(cell)
        assert not left.strip(), left


def strip_says(text: str) -> str:
    """What stands outside \\says{ids}{sentence}."""
    while (at := text.find(r"\says{")) >= 0:
        end = text.index("}", at) + 1
        depth, i = 1, end + 1
        while depth:
            depth += {"{": 1, "}": -1}.get(text[i], 0)
            i += 1
        text = text[:at] + text[i:]
    return text
