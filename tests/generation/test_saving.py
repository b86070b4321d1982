from dataclasses import replace

from notagen.generation import Form, Sampling
from notagen.generation.saving import first_to_open
from notagen.generation.to_folder import generate_to_folder
from tests.helpers.scripted import DUET


def test_the_first_page_of_the_first_score_is_opened_first(model, tmp_path):
    formats = ["abc", "svg"]
    prompts = [DUET.format(1)] * 2
    saved = generate_to_folder(model, prompts, tmp_path, formats, Sampling(), 0, 2, 60, Form())
    first, second = saved.pieces
    assert first_to_open([first, second], tmp_path) == tmp_path / "piece-001-1.svg"
    unreadable = replace(first, bars=0)
    assert first_to_open([unreadable, second], tmp_path) == tmp_path / "piece-002-1.svg"
    (tmp_path / "piece-002-1.svg").unlink()
    assert first_to_open([unreadable, second], tmp_path) == tmp_path / "piece-002.abc"
    assert first_to_open([unreadable], tmp_path) is None
