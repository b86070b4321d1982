"""Features on disk: computed once, by content, shared by processes."""

import pytest
import torch

from notagen.reward import Features, load


@pytest.fixture(scope="module")
def texts(golden):
    return [piece["text"] for piece in golden("clamp2.json")["pieces"]]


class Counting:
    """An encoder that remembers what it was asked."""

    def __init__(self, encoder):
        self.encoder = encoder
        self.config = encoder.config
        self.asked = []

    def fingerprint(self):
        return self.encoder.fingerprint()

    def encode(self, texts):
        self.asked += texts
        return self.encoder.encode(texts)


@pytest.fixture
def encoder(tiny_clamp2):
    return Counting(load(tiny_clamp2))


def test_no_text_is_computed_twice(encoder, texts, tmp_path):
    features = Features(encoder, tmp_path)
    expected = encoder.encoder.encode(texts)
    torch.testing.assert_close(features.encode(texts[:3]), expected[:3])
    again = features.encode([texts[4], texts[0], texts[4], texts[2]])
    torch.testing.assert_close(again, expected[[4, 0, 4, 2]])
    assert encoder.asked == [*texts[:3], texts[4]]


def test_another_process_finds_them(encoder, texts, tmp_path):
    first, second = Features(encoder, tmp_path), Features(encoder, tmp_path)
    first.encode(texts[:2])
    second.encode(texts[1:3])  # beside it, not knowing of the other's
    first.encode(texts[:3])
    Features(encoder, tmp_path).encode(texts[:3])
    assert encoder.asked == texts[:3]


def test_a_file_that_was_not_finished_is_not_read(encoder, texts, tmp_path):
    features = Features(encoder, tmp_path)
    features.folder.mkdir(parents=True)
    (features.folder / "half.unfinished").write_bytes(b"half a fi")
    features.encode(texts[:1])
    assert Features(encoder, tmp_path).encode(texts[:1]).shape == (1, 48)
    assert encoder.asked == texts[:1]


def test_another_encoder_has_its_own(encoder, tiny_clamp2, texts, tmp_path):
    Features(encoder, tmp_path).encode(texts[:1])
    other = load(tiny_clamp2)
    with torch.no_grad():
        other.projection.bias += 1.0
    changed = Features(other, tmp_path).encode(texts[:1])
    torch.testing.assert_close(changed, encoder.encoder.encode(texts[:1]) + 1.0)


def test_nothing_has_no_features(encoder, tmp_path):
    assert Features(encoder, tmp_path).encode([]).shape == (0, 48)


class Lengths:
    """A reward model of one's own: two features, no fingerprint."""

    def __init__(self):
        self.asked = []

    def encode(self, texts):
        self.asked += texts
        return torch.tensor([[float(len(text)), 1.0] for text in texts]).reshape(-1, 2)


def test_an_encoder_without_a_fingerprint_is_not_cached(tmp_path):
    encoder = Lengths()
    features = Features(encoder, tmp_path)
    for _ in range(2):
        assert features.encode(["a", "abc"]).tolist() == [[1, 1], [3, 1]]
    assert features.encode([]).shape == (0, 2)
    assert encoder.asked == ["a", "abc"] * 2
    assert list(tmp_path.iterdir()) == []
