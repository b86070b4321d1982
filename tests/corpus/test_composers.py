"""Composers of score files: one name for each, and none for arrangers and placeholders."""

import pytest

from notagen.corpus.composers import composer_name, read_composer
from tests.helpers.melodies import abc, melody, musicxml


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ludwig van Beethoven (1770-1827)", "Beethoven, Ludwig van"),
        ("Bach, Johann Sebastian", "Bach, Johann Sebastian"),
        ("Clara\n  Schumann", "Schumann, Clara"),
        ("Eberhard M&uuml;ller", "Müller, Eberhard"),
        ("B&eacute;la Bart&#243;k", "Bartók, Béla"),
        (r"Anton\'in Dvo\vr\'ak", "Dvořák, Antonín"),
        (r"\u00a9 Phil Cunningham", "Cunningham, Phil"),
        ("(c) 1998 Phil Cunningham", "Cunningham, Phil"),
        ("[Fryderyk Chopin]", "Chopin, Fryderyk"),
        ("William MacDonald of Vallay", "MacDonald of Vallay, William"),
        ("John Doe Jr.", "Doe Jr., John"),
        ("by Robert Mackintosh", "Mackintosh, Robert"),
        ("Music: Ann Lee", "Lee, Ann"),
        ("composed by Ann Lee", "Lee, Ann"),
        ("J.S. Bach, arr. Bob Smith", "Bach, J.S."),
        ("Joe Doe (arranged by Ann Lee)", "Doe, Joe"),
        ("arr. Bob Smith", ""),
        ("arranger, Ann Lee", ""),
        ("Composer / arranger", ""),
        ("Unknown composer", ""),
        ("?", ""),
        ("", ""),
        ("Anon.", "Anonymous"),
        ("anonymous", "Anonymous"),
        ("Trad.", "Traditional"),
        ("trad", "Traditional"),
        ("TRADITIONAL", "Traditional"),
        ("Irish traditional", "Traditional"),
        ("Trad. arr. Bob Smith", "Traditional"),
        ("Traditional (RSPBA setting)", "Traditional"),
        ("John Tradwell", "Tradwell, John"),
        ("Harry Arrowsmith", "Arrowsmith, Harry"),
        ("Edward Settle", "Settle, Edward"),
    ],
)
def test_composers_have_one_name(text, name):
    assert composer_name(text) == name


def test_a_score_names_its_composer(tmp_path):
    contents = {
        "none.mid": "MThd",
        "one.abc": abc(melody(1)).replace("M:", "C:Turlough O'Carolan\nM:"),
        "several.abc": "X:1\nC:A\nK:C\nC|\n\nX:2\nC:B\nK:C\nC|\n",
        "alike.abc": "X:1\nC:Trad.\nC:arr. Ann Lee\nK:C\nC|\n\nX:2\nC:traditional\nK:C\nC|\n",
        "a.krn": "!!!COM: Palestrina, Giovanni\n**kern\n*-\n",
        "entity.krn": "!!!COM: M&uuml;ller, August\n**kern\n*-\n",
        "a.musicxml": musicxml(1).replace(
            '<creator type="composer" />', '<creator type="composer">Amy Beach</creator>'
        ),
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    assert {name: read_composer(tmp_path / name) for name in contents} == {
        "none.mid": "",
        "one.abc": "O'Carolan, Turlough",
        "several.abc": "",
        "alike.abc": "Traditional",
        "a.krn": "Palestrina, Giovanni",
        "entity.krn": "Müller, August",
        "a.musicxml": "Beach, Amy",
    }
