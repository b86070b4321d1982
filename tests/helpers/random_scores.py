"""Random scores, and a reader of sounding pitches that knows nothing of transposition."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from notagen.notation import KEYS, Bar, Token, Tune, parse_key, tokens

examples = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}

lengths = st.sampled_from(["", "2", "3", "4", "/", "//", "3/2", "/4", "7/2"])
pitches = st.builds(
    "{}{}".format, st.sampled_from("ABCDEFGabcdefg"), st.sampled_from(["", "'", ",", "''", ",,"])
)
accidentals = st.sampled_from(["", "", "", "", "^", "_", "=", "^^", "__"])
notes = st.builds("{}{}{}".format, accidentals, pitches, lengths)
chords = st.builds("[{}]{}".format, st.lists(notes, min_size=2, max_size=4).map("".join), lengths)
rests = st.builds("{}{}".format, st.sampled_from("zx"), lengths)
tuplets = st.builds("(3{}{}{}".format, notes, notes, notes)
broken = st.builds("{}{}{}".format, notes, st.sampled_from([">", "<", ">>"]), notes)
graces = st.builds("{{{}}}{}".format, notes, notes)
marks = st.sampled_from(
    [
        '"^a|b"',
        '"Coda"',
        '"_D.C."',
        "!f!",
        "!a|b!",
        "T",
        "(",
        ")",
        "[M:3/4]",
        "[K:treble]",
        "y",
        ".",
    ]
)
key_changes = st.builds("[K:{}{}]".format, st.sampled_from(KEYS), st.sampled_from(["", "maj"]))
music = st.one_of(notes, notes, chords, rests, tuplets, broken, graces, marks, key_changes)
bar_texts = st.builds("{} {}".format, st.lists(music, max_size=6).map(" ".join), notes | rests).map(
    str.strip
)
barlines = st.sampled_from(["|", "|", "||", ":|", "|:", "::", ":|2", "|1", ":||:", "|:3"])
keys = st.sampled_from([*KEYS, "Emin", "Ddor", "A mix", "none", "C#min", "G ^c"])


@st.composite
def tunes(draw: st.DrawFn, complete: bool = True) -> Tune:
    """Tunes of one to three voices; with ``complete=False`` voices may be missing from bars."""
    voices = draw(st.lists(st.sampled_from(["1", "2", "S", "Alto"]), min_size=1, unique=True))
    count = draw(st.integers(1, 4))
    header = ["%%score ( " + " ".join(voices) + " )", "L:1/8", "M:4/4", f"K:{draw(keys)}"]
    header += [f"V:{voice} treble" for voice in voices]
    bars = []
    for i in range(count):
        right = draw(st.sampled_from(["|]", ""])) if i == count - 1 else draw(barlines)
        left = draw(st.sampled_from(["", "|:"])) if i == 0 else ""
        present = voices
        if not complete:
            chosen = draw(st.sets(st.sampled_from(voices), min_size=1))
            present = [voice for voice in voices if voice in chosen]
        bars.append({voice: Bar(draw(bar_texts), right, left) for voice in present})
    return Tune(tuple(header), tuple(bars))


def sounding(tune: Tune) -> dict[str, list[list[int]]]:
    """Semitones above middle C of every note (chords and graces included), by voice and bar."""
    header_key = next(line[2:] for line in tune.header if line.startswith("K:"))
    read: dict[str, list[list[int]]] = {}
    for voice in tune.voices:
        signature = signature_of(header_key)
        read[voice] = []
        for bar in tune.bars:
            text = bar[voice].text if voice in bar else ""
            heard, signature = _bar_pitches(tokens(text), signature, {})
            read[voice].append(heard)
    return read


def signature_of(field: str) -> dict[str, int] | None:
    key = parse_key(field)
    return key and dict(zip("CDEFGAB", key.signature, strict=True))


def _bar_pitches(
    bar: list[Token], signature: dict[str, int], written: dict[tuple[str, int], int]
) -> tuple[list[int], dict[str, int]]:
    heard = []
    for token in bar:
        if token.kind == "field" and token.text.startswith("[K:"):
            changed = signature_of(token.text[3:-1])
            if changed is not None:
                signature = changed
                written.clear()
        if token.kind == "note":
            place = token.letter, token.octave
            if token.accidental:
                written[place] = token.accidental.count("^") - token.accidental.count("_")
            altered = written.get(place, signature[token.letter])
            heard.append(SEMITONES[token.letter] + altered + 12 * (token.octave - 4))
        heard += _bar_pitches(list(token.inner), signature, written)[0]
    return heard, signature
