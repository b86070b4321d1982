import pytest

from notagen.errors import UserError
from notagen.prompts import Prompt, choose, known_prompts, save_known

BACH = Prompt("Baroque", "Bach, Johann Sebastian", "Choral")
QUARTET = Prompt("Classical", "Haydn, Joseph", "Chamber")
SONATA = Prompt("Classical", "Haydn, Joseph", "Keyboard")


@pytest.fixture
def weights(tmp_path):
    save_known([BACH, QUARTET, SONATA, BACH], tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("labels", "prompt"),
    [
        (BACH._asdict(), BACH),
        ({"composer": "bach, johann sebastian"}, BACH),
        ({"period": "baroque"}, BACH),
        ({"composer": "Haydn, Joseph", "instrumentation": "keyboard"}, SONATA),
    ],
)
def test_labels_are_completed_in_either_case(weights, labels, prompt):
    assert choose(labels, weights) == prompt


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({}, "was trained with prompts; give one of them:"),
        ({"composer": "Haydn, Joseph"}, "fits several prompts"),
        (BACH._replace(composer="Cage, John")._asdict(), "was not trained with Baroque, Cage"),
        (SONATA._replace(period="Romantic")._asdict(), "was not trained with Romantic, Haydn"),
    ],
)
def test_other_labels_are_answered_with_lines_to_paste(weights, labels, message):
    with pytest.raises(UserError, match=message) as error:
        choose(labels, weights)
    first = str(error.value).splitlines()[1]
    if "Romantic" in message:
        assert first == (
            "  'prompt.period=\"Classical\"' 'prompt.composer=\"Haydn, Joseph\"' "
            "'prompt.instrumentation=\"Keyboard\"'"
        )
    assert first.count("prompt.") == 3


def test_weights_without_prompts_take_none(tmp_path):
    save_known([], tmp_path)
    assert choose({}, tmp_path) is None
    with pytest.raises(UserError, match="trained without prompts"):
        choose(BACH._asdict(), tmp_path)


def test_published_weights_take_any_whole_prompt(tmp_path):
    assert choose(BACH._asdict(), tmp_path) == BACH
    assert choose({}, tmp_path) is None
    with pytest.raises(UserError, match=r"prompt\.composer, prompt\.instrumentation is missing"):
        choose({"period": "Baroque"}, tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{", "3", "{}", "[[]]", "[1]", '[["a", "b", 3]]', "\udcff"]
)
def test_a_spoilt_file_of_prompts_is_named(tmp_path, content):
    (tmp_path / "prompts.json").write_text(content, errors="surrogateescape")
    with pytest.raises(UserError, match=r"prompts\.json is no list of prompts"):
        known_prompts(tmp_path)
