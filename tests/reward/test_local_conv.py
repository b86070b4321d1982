"""What a patch takes from those around it."""

import torch

from notagen.reward import EncoderConfig, MusicEncoder
from notagen.reward.encoder import LocalConv


def test_a_patch_sees_those_in_reach_and_no_others():
    torch.manual_seed(0)
    neighbours = LocalConv(64, radius=2)
    vectors = torch.randn(9, 64)
    other = vectors.clone()
    other[4] += 1
    before, after = (neighbours(given, [9]) for given in (vectors, other))
    changed = (before != after).any(dim=1)
    assert changed.tolist() == [False, False, True, True, True, True, True, False, False]


def test_segments_do_not_see_each_other():
    torch.manual_seed(0)
    neighbours = LocalConv(64, radius=4)
    vectors = torch.randn(12, 64)
    together = neighbours(vectors, [3, 7, 2])
    alone = torch.cat([neighbours(part, [len(part)]) for part in vectors.split([3, 7, 2])])
    torch.testing.assert_close(together, alone)


def test_an_encoder_keeps_its_reach(tmp_path):
    torch.manual_seed(0)
    encoder = MusicEncoder(EncoderConfig(1, 64, 8, 32, conv_radius=3)).eval()
    encoder.save_pretrained(tmp_path)
    text = "L:1/4\nK:C\nV:1 treble\n[V:1]CDEF|\n[V:1]GABc|]\n"
    read = MusicEncoder.from_pretrained(tmp_path)
    assert read.config.conv_radius == 3
    torch.testing.assert_close(read.encode([text]), encoder.encode([text]))
