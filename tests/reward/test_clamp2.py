"""The published music tower: same patches, same features, whatever the batch."""

import numpy as np
import pytest
import torch

from notagen.errors import UserError
from notagen.notation import Tune
from notagen.patches import EOS
from notagen.reward import MusicEncoder, bar_patches, load
from notagen.reward.encoder import segment_batches, segments


@pytest.fixture(scope="module")
def recorded(golden):
    return golden("clamp2.json")


@pytest.fixture(scope="module")
def encoder(tiny_clamp2):
    return MusicEncoder.from_published(tiny_clamp2)


@pytest.fixture(scope="module")
def texts(recorded):
    return [piece["text"] for piece in recorded["pieces"]]


def patches_of(text):
    return bar_patches.encode(bar_patches.normal_form(Tune.parse(text)))


def test_patches_are_those_of_the_published_program(recorded):
    for piece in recorded["pieces"]:
        patches = patches_of(piece["text"])
        if isinstance(piece["patches"], int):
            assert len(patches) == piece["patches"]
        else:
            assert np.array_equal(patches, piece["patches"])


def test_features_are_those_of_the_published_program(encoder, recorded, texts):
    features = encoder.encode(texts)
    assert features.dtype == torch.float32
    expected = torch.tensor([piece["feature"] for piece in recorded["pieces"]])
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=0)


VOLTAS = "%%score ( 1 2 ) 3\nL:1/8\nM:4/4\nK:C\nV:1\nV:2\nV:3\n"


@pytest.mark.parametrize(
    ("line", "bars"),
    [
        ("[V:1]C8|1[V:2]E8|1[V:3]G,8|1", ["[V:1]C8|", "1[V:2]E8|", "1[V:3]G,8|\n"]),
        ("[V:1]C8:|2[V:2]E8:|2[V:3]G,8:|2", ["[V:1]C8:|", "2[V:2]E8:|", "2[V:3]G,8:|\n"]),
        ("[V:1]C8|1,3[V:2]E8|1,3[V:3]G,8|1,3", ["[V:1]C8|", "1,3[V:2]E8|", "1,3[V:3]G,8|\n"]),
        ("[V:1]C|[V:2]E|", ["[V:1]C|", "[V:2]E|", "[V:3]z1|\n"]),
        ("[V:1]C|[V:3]E|", ["[V:1]C|", "[V:2]x1|", "[V:3]E|\n"]),
    ],
)
def test_the_last_bar_of_a_line_ends_with_its_barline_and_the_line_end(line, bars):
    text = f"{VOLTAS}{line}\n"
    patches = patches_of(text)[1:-1]
    codes = ["".join(map(chr, patch[patch > EOS])) for patch in patches]
    assert codes == [*VOLTAS.splitlines(keepends=True), *bars]


def test_a_number_at_the_end_of_a_line_has_no_part_in_the_features(encoder):
    body = "[V:1]C8|%s[V:2]E8|%s[V:3]G,8|%s\n[V:1]D8|][V:2]F8|][V:3]G,8|]\n"
    first, second = (VOLTAS + body % ("1", "1", end) for end in ("1", "2"))
    torch.testing.assert_close(*encoder.encode([first, second]), atol=1e-6, rtol=0)


def test_sizes_are_told_from_the_file(encoder, recorded):
    sizes = recorded["config"]
    assert encoder.config.layers == sizes["layers"]
    assert encoder.config.hidden_size == sizes["hidden_size"]
    assert encoder.config.patch_length == sizes["patch_length"]
    assert encoder.config.feature_size == sizes["projection"]


def test_a_piece_alone_has_the_features_it_has_among_others(encoder, texts):
    together = encoder.encode(texts)
    alone = torch.cat([encoder.encode([text]) for text in texts])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)


def test_any_layout_of_a_piece_has_its_features(encoder, texts):
    """As a model writes it: rests left out, stream marks; as standard ABC; without comments."""
    tune = Tune.parse(texts[2])
    layouts = [
        texts[2],
        tune.to_interleaved(omit_rests=True, stream_marks=True),
        tune.to_standard(),
        bar_patches.normal_form(tune),
    ]
    features = encoder.encode(layouts)
    torch.testing.assert_close(features, features[:1].expand(4, -1), atol=1e-5, rtol=0)


def test_the_embedding_is_the_published_one_hot_product(encoder, texts):
    patches = torch.from_numpy(patches_of(texts[0])).long()
    one_hot = torch.nn.functional.one_hot(patches, 128).flatten(1).float()
    expected = one_hot @ encoder.embedding.weight + encoder.embedding.bias
    torch.testing.assert_close(encoder.embedding(patches), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("count", "weights"), [(5, [5]), (8, [8]), (16, [8, 8]), (19, [8, 8, 3])])
def test_segments_weigh_what_no_other_holds(count, weights):
    patches = np.arange(count, dtype=np.uint8)[:, None].repeat(64, axis=1)
    parts = list(segments(0, patches, 8))
    assert [part.weight for part in parts] == weights
    assert all(len(part.patches) == min(8, count) for part in parts)
    assert parts[-1].patches[-1, 0] == count - 1


def test_batches_hold_so_many_patches_and_every_segment(rng):
    lengths = rng.integers(1, 40, size=50)
    parts = [part for i, n in enumerate(lengths) for part in segments(i, np.ones((n, 64)), 32)]
    groups = list(segment_batches(parts, 64))
    assert sum(map(len, groups)) == len(parts)
    for group in groups:
        assert len(group) * max(len(part.patches) for part in group) <= 64


def test_what_is_saved_is_what_is_loaded(encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.config == encoder.config
    assert not again.training
    assert again.fingerprint() == encoder.fingerprint()


def test_another_weight_is_another_fingerprint(encoder, tiny_clamp2):
    other = load(tiny_clamp2)
    assert other.fingerprint() == encoder.fingerprint()
    with torch.no_grad():
        other.projection.bias[0] += 1e-3
    assert other.fingerprint() != encoder.fingerprint()


def test_a_file_that_lacks_a_weight_is_refused(tiny_clamp2, tmp_path):
    contents = torch.load(tiny_clamp2, weights_only=True)
    del contents["model"]["music_model.base.encoder.layer.1.output.dense.bias"]
    torch.save(contents, tmp_path / "less.pth")
    with pytest.raises(UserError, match=r"encoder.layer.1.output.dense.bias is missing"):
        load(tmp_path / "less.pth")


def test_other_files_are_refused_in_one_sentence(golden_folder, tmp_path):
    (tmp_path / "notes.pth").write_text("no weights")
    with pytest.raises(UserError, match="not a file that torch"):
        load(tmp_path / "notes.pth")
    with pytest.raises(UserError, match="not a CLaMP 2 checkpoint"):
        load(golden_folder / "tiny_notagen.pth")
    with pytest.raises(UserError, match=r"no music encoder.*stage=m3"):
        load(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text('{"patch_layers": 3}')
    with pytest.raises(UserError, match="another model"):
        load(tmp_path)


def test_text_that_is_no_music_is_refused(encoder):
    with pytest.raises(ValueError, match="no music"):
        encoder.encode(["K:C\n"])


def test_nothing_has_no_features(encoder):
    assert encoder.encode([]).shape == (0, 48)
