"""What people broke, format by format (tests/broken): a clear error or a told repair, and no code is ever run."""

import re
from pathlib import Path

import pytest

from broken import interchange, ours, published
from broken.cases import Case, canary, outcome

pytestmark = pytest.mark.usefixtures("time_limit")
CASES: list[Case] = [*ours.CASES, *interchange.CASES, *published.CASES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.data_set}: {case.name}")
def test_what_is_broken_is_told(case: Case, tmp_path: Path) -> None:
    root = tmp_path / "data"
    said, tiles = outcome(case.data_set, case.make(root))
    assert not canary(root).exists(), "something that was read has run code"
    if not case.told:
        assert (said, tiles) == ([], 4)
        return
    assert any(re.search(case.told, words) for words in said), said
