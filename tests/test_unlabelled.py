from notagen.prompts import Prompt, known_prompts, save_known

BACH = Prompt("Baroque", "Bach, Johann Sebastian", "Choral")
UNKNOWN = Prompt("", "", "")


def test_pieces_without_labels_are_no_prompt(tmp_path):
    save_known([UNKNOWN, BACH, UNKNOWN, BACH], tmp_path)
    assert known_prompts(tmp_path) == [BACH]
    save_known([UNKNOWN], tmp_path)
    assert known_prompts(tmp_path) == []


def test_a_piece_without_any_label_has_no_lines_of_them():
    assert str(UNKNOWN) == ""
    assert str(Prompt("", "Bach", "")) == "%\n%Bach\n%\n"
    assert str(BACH) == "%Baroque\n%Bach, Johann Sebastian\n%Choral\n"
