from notagen.notation import Tune, clean

SCORE = """X:1
T:Tést
C:Somebody

%%score ( 1 2 )
%%MIDI program 1
L:1/8
K:C
V:1 treble nm="Flöte 12\\""
V:2 treble
V:1
{music}
w: la la
Z:me
V:2
c4 |]
"""


def cleaned(music):
    return Tune.parse(clean(SCORE.format(music=music)))


def test_header_keeps_what_the_music_needs():
    assert cleaned("C4 |]").header == (
        *("%%score ( 1 2 )", "L:1/8", "K:C"),
        *('V:1 treble nm="Flote 12"', "V:2 treble"),
    )


def test_music_stays():
    music = '"^dolce"!f! (C/>D/) "Am7"E2-|1 E4 :|2 [CEG]4 |]'
    expected = [('"^dolce"!f! (C/>D/) "Am7"E2-', "|1"), ("E4", ":|2"), ("[CEG]4", "|]")]
    assert [(bar["1"].text, bar["1"].right) for bar in cleaned(music).bars] == expected


def test_annotations():
    text = cleaned('"^rit. . ." C "^dim____" D "a|b" E "_' + "x" * 40 + '" F |]').bars[0]["1"].text
    assert text == '"^rit. . ." C "^dim_" D  E  F'
    long_chord_text = '"' + "x" * 45 + '"C'
    assert cleaned(f"{long_chord_text} |]").bars[0]["1"].text == long_chord_text


def test_curly_quotes_do_not_end_a_text():
    assert cleaned('"^“so”" C |]').bars[0]["1"].text == "\"^'so'\" C"


def test_bar_numbers_and_line_breaks_go():
    assert clean("K:C\nC4 | %5\nD4 |$\nE4 | !\n" + "F4 |\\\n") == "K:C\nC4 |\nD4 |\nE4 |\nF4 |\n"


def test_old_decorations():
    assert clean("K:C\n+trill+C4 +p+ D4|\n") == "K:C\n!trill!C4 !p! D4|\n"


def test_a_line_of_music_is_not_taken_for_a_field():
    assert clean("A:area\nK:C\nA:|\nE4|\n") == "K:C\nA:|\nE4|\n"


def test_conditioning_stays_in_front():
    text = "%Baroque\n%Bach, Johann Sebastian\n%Choral\nK:C\n[V:1]C4|\n"
    assert clean(text) == text
