from hypothesis import given

from notagen.notation import Bar, Tune, bar_duration
from tests.helpers.random_scores import examples, tunes

HEADER = "%%score { ( 1 2 ) 3 }\nL:1/8\nM:3/4\nK:C\nV:1\nV:2\nV:3\n"


def completed(body):
    text = Tune.parse(HEADER + body).complete_rests().to_interleaved()
    return text.removeprefix(HEADER).splitlines()


def test_the_rest_is_as_long_as_most_voices_and_invisible_on_a_shared_staff():
    assert completed("[V:3]C4|]") == ["[V:1]z4|][V:2]x4|][V:3]C4|]"]
    assert completed("[V:1]C4||[V:2]D||[V:3]E||") == ["[V:1]C4||[V:2]D||[V:3]E||"]


def test_lengths_of_rests():
    assert completed("[V:1]C|[V:3]C|") == ["[V:1]C|[V:2]x1|[V:3]C|"]
    assert completed("[V:1]C|[V:2]D|") == ["[V:1]C|[V:2]D|[V:3]z1|"]
    assert completed("[V:1]C/|[V:3]C/|") == ["[V:1]C/|[V:2]x/|[V:3]C/|"]
    assert completed("[V:1]C3/2|[V:3]C3/2|") == ["[V:1]C3/2|[V:2]x3/2|[V:3]C3/2|"]


def test_where_no_voice_tells_the_last_bar_does_and_before_it_the_metre():
    assert completed("[V:1]C $|\n[V:1]C4|[V:3]E4|\n[V:1]Z|") == [
        "[V:1]C $|[V:2]x6|[V:3]z6|",
        "[V:1]C4|[V:2]x4|[V:3]E4|",
        "[V:1]Z|[V:2]x4|[V:3]z4|",
    ]


def test_left_barlines_and_blank_bars():
    assert completed("[V:1]|:C4|[V:2]|") == ["[V:1]|:C4|[V:2]|:x4|[V:3]|:z4|"]


def test_a_bar_in_which_all_rest_keeps_its_first_voice():
    tune = Tune.parse("K:C\n[V:1]z4|[V:2]z4|\n[V:1]z4|[V:2]C4|\n").omit_rests()
    assert tune.bars == ({"1": Bar("z4")}, {"2": Bar("C4")})


def test_what_is_more_than_a_rest_is_not_left_out():
    tune = Tune.parse('K:C\n[V:1]"^Solo" z4|[V:2][K:Eb] z4|[V:3]!fermata!z4|[V:4]Z|[V:5]x4|\n')
    assert list(tune.omit_rests().bars[0]) == ["1", "2", "3"]


def test_standard_text_has_all_rests():
    tune = Tune.parse("K:C\nV:1\nV:2\n[V:1]C8|\n[V:2]D8|\n")
    assert tune.to_standard() == "K:C\nV:1\nV:2\nV:1\nC8 | z8 |\nV:2\nz8 | D8 |\n"


@examples
@given(tunes())
def test_leaving_out_and_completing_keeps_the_durations_of_aligned_tunes(tune):
    same = Tune(tune.header, tuple(_as_long_as_the_first(voices) for voices in tune.bars))
    restored = same.omit_rests().complete_rests()
    assert _durations(restored) == _durations(same)
    assert restored.alignment() == same.alignment()


def _as_long_as_the_first(voices):
    first = next(iter(voices.values()))
    rest = Bar(f"z{bar_duration(first.text)}", first.right, first.left)
    return {voice: bar if bar is first else rest for voice, bar in voices.items()}


def _durations(tune):
    return [{voice: bar_duration(bar.text) for voice, bar in bars.items()} for bars in tune.bars]
