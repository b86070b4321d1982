import pytest
import torch

from notagen.errors import UserError
from notagen.model import Decoder
from notagen.model.decoding.runner import CudaGraphRunner, LevelRunner
from notagen.patches import PATCH_SIZE
from tests.helpers.random_pieces import random_piece

# Sums of one row are taken in another order among others, in machine code, on other processors.
CLOSE = {"rtol": 0, "atol": 2e-5}


@pytest.fixture
def model(model):
    return model.eval()


@pytest.fixture
def in_torch(monkeypatch):
    """Decoding as it is where numba is not installed."""
    monkeypatch.setattr("notagen.model.decoding.decoder.has_numba", lambda: False)


def decoder_of(model, pieces, **options):
    decoder = Decoder(model, rows=len(pieces), **options)
    for row, piece in enumerate(pieces):
        decoder.prefill(row, piece)
    return decoder


def write_greedily(decoder, count):
    """Append `count` greedy patches to every row, [rows, count, 16].

    Only with golden weights, whose second best characters are 0.003 nats or more behind.
    """
    written = []
    for _ in range(count):
        ids = [decoder.begin_patch().argmax(-1)]
        while len(ids) < PATCH_SIZE:
            ids.append(decoder.next_char(ids[-1]).argmax(-1))
        written.append(torch.stack(ids, dim=1))
        decoder.push(written[-1])
    return torch.stack(written, dim=1)


def forced_log_probs(decoder, patches):
    """Log-probability of each character of the next patch of each row, [rows, 16]."""
    logits = [decoder.begin_patch()]
    logits += [decoder.next_char(ids) for ids in patches[:, :-1].T]
    return torch.stack(logits, dim=1).log_softmax(-1).gather(2, patches[..., None]).squeeze(2)


@pytest.fixture
def following():
    """What three rows are made to write, [rows, patches, 16]."""
    return torch.stack([random_piece(5, seed)[1:] for seed in (4, 5, 6)]).long()


def write(decoder, following):
    """Append these patches, [rows, count, 16]; the log-probability of each character there."""
    found = []
    for patches in following.unbind(1):
        found.append(forced_log_probs(decoder, patches))
        decoder.push(patches)
    return torch.stack(found, dim=1)


def test_greedy_patches_are_the_published_ones(golden, golden_model, golden_pieces):
    decoder = decoder_of(golden_model, golden_pieces[1:2])
    assert write_greedily(decoder, 12)[0].tolist() == golden["greedy_patches"]


def test_greedy_patches_are_the_published_ones_among_other_rows(
    golden, golden_model, golden_pieces
):
    decoder = decoder_of(golden_model, [golden_pieces[2], golden_pieces[1], golden_pieces[0][:100]])
    assert write_greedily(decoder, 12)[1].tolist() == golden["greedy_patches"]


def test_cached_and_uncached_likelihoods_agree(model):
    """Rows of different lengths, characters of the next patches forced one by one."""
    pieces = [random_piece(length, seed=length) for length in (12, 7, 20)]
    decoder = decoder_of(model, [piece[:-3] for piece in pieces])
    uncached = model(*model.pack(pieces)).split([12, 7, 20])
    for back in (3, 2, 1):
        patches = torch.stack([piece[-back] for piece in pieces]).long()
        expected = torch.stack([nll[-back] for nll in uncached])
        found = -forced_log_probs(decoder, patches) * (patches != 0)
        torch.testing.assert_close(found, expected, **CLOSE)
        decoder.push(patches)


def test_a_row_is_the_same_alone_and_in_a_batch(model):
    pieces = [random_piece(length, seed=length) for length in (12, 7, 20)]
    together = decoder_of(model, pieces)
    for row, piece in enumerate(pieces):
        alone = decoder_of(model, [piece])
        patches = random_piece(3, seed=9)[[2]].long()
        found = forced_log_probs(together, patches.expand(3, -1))[row]
        torch.testing.assert_close(found, forced_log_probs(alone, patches)[0], **CLOSE)


def test_a_prompt_may_come_in_parts(model):
    piece = random_piece(12, seed=1)
    whole, parts = decoder_of(model, [piece]), Decoder(model, rows=1)
    parts.prefill(0, piece[:5])
    parts.prefill(0, piece[5:10])
    parts.push(piece[10:11])
    parts.push(piece[11:12])
    torch.testing.assert_close(parts.last_hidden, whole.last_hidden, **CLOSE)


def test_a_rewound_row_has_forgotten(model, following):
    pieces = [random_piece(8, seed=seed) for seed in (1, 2)]
    decoder = decoder_of(model, pieces)
    first = write(decoder, following[:2])
    decoder.rewind(0, 3)
    decoder.prefill(0, pieces[0][3:])
    decoder.rewind(1, 8)
    torch.testing.assert_close(write(decoder, following[:2]), first, **CLOSE)
    with pytest.raises(ValueError, match="row 1 holds 12 patches"):
        decoder.rewind(1, 13)


def test_rows_can_be_left_behind(model, following):
    pieces = [random_piece(length, seed=length) for length in (6, 9, 12)]
    expected = write(decoder_of(model, pieces), following)
    decoder = decoder_of(model, pieces)
    write(decoder, following[:, :2])
    decoder.keep([2, 0])
    assert decoder.lengths == [14, 8]
    found = write(decoder, following[[2, 0], 2:])
    torch.testing.assert_close(found, expected[[2, 0], 2:], **CLOSE)


def test_rows_that_have_ended_their_patch_change_nothing_for_the_others(model):
    pieces = [random_piece(length, seed=length) for length in (6, 9, 12)]
    patches = random_piece(4, seed=3)[1:].long()
    every = [0, 1, 2]
    together, apart = decoder_of(model, pieces), decoder_of(model, pieces)
    expected = [together.begin_patch(), *map(together.next_char, patches[:, :4].T)]
    found = [apart.begin_patch(), apart.next_char(patches[:, 0])]
    found += [apart.next_char(patches[[0, 2], slot], [0, 2]) for slot in (1, 2)]
    found += [apart.next_char(patches[[2], 3], [2])]
    for one, other, rows in zip(expected, found, [every, every, [0, 2], [0, 2], [2]], strict=True):
        torch.testing.assert_close(other, one[rows], **CLOSE)


def test_a_full_context_says_what_to_do(model):
    decoder = decoder_of(model, [random_piece(24, seed=0)])
    with pytest.raises(ValueError, match="25 patches do not fit into a context of 24: rewind"):
        decoder.push(random_piece(2, seed=0)[1:])
    with pytest.raises(ValueError, match="25 patches do not fit"):
        decoder.prefill(0, random_piece(1, seed=0))
    decoder.rewind(0, 5)
    decoder.push(random_piece(2, seed=0)[1:])
    assert decoder.lengths == [6]


def test_without_numba_greedy_patches_are_the_published_ones(
    in_torch, golden, golden_model, golden_pieces
):
    decoder = decoder_of(golden_model, [golden_pieces[2], golden_pieces[1], golden_pieces[0][:100]])
    assert type(decoder._patches) is LevelRunner
    assert write_greedily(decoder, 12)[1].tolist() == golden["greedy_patches"]


def test_torch_and_machine_code_agree_for_every_number_of_rows(model, monkeypatch):
    numba_runner = pytest.importorskip("notagen.model.decoding.numba_runner")
    pieces = [random_piece(6 + length % 7, seed=length) for length in range(9)]
    patches = random_piece(10, seed=0)[1:].long()
    for rows in (1, 2, 5, 9):
        native = decoder_of(model, pieces[:rows])
        assert type(native._patches) is numba_runner.NumbaRunner
        with monkeypatch.context() as patched:
            patched.setattr("notagen.model.decoding.decoder.find_spec", lambda name: None)
            plain = decoder_of(model, pieces[:rows])
        for _ in range(2):
            found, expected = (forced_log_probs(way, patches[:rows]) for way in (native, plain))
            torch.testing.assert_close(found, expected, **CLOSE)
            native.push(patches[:rows])
            plain.push(patches[:rows])


def test_many_rows_are_left_to_torch(model, following, monkeypatch):
    native = pytest.importorskip("notagen.model.decoding.kernels")
    pieces = [random_piece(length, seed=length) for length in (6, 9, 12)]
    expected = write(decoder_of(model, pieces), following)
    monkeypatch.setattr(native, "MAX_ROWS", 2)
    monkeypatch.delattr(native, "finish")
    found = write(decoder_of(model, pieces), following)
    torch.testing.assert_close(found, expected, **CLOSE)


def test_graphs_step_in_tensors_of_one_shape(model, following, monkeypatch):
    """What a CUDA graph would replay, here run without one."""
    pieces = [random_piece(length, seed=length) for length in (6, 9, 12)]
    expected = write(decoder_of(model, pieces), following)
    monkeypatch.setattr(
        "notagen.model.decoding.decoder.select_runner", lambda *_, **__: CudaGraphRunner
    )
    with torch.compiler.set_stance("force_eager"):
        decoder = decoder_of(model, pieces)
        assert type(decoder._chars) is CudaGraphRunner
        found = write(decoder, following[:, :2])
        torch.testing.assert_close(found, expected[:, :2], **CLOSE)
        decoder.keep([2, 0])
        found = write(decoder, following[[2, 0], 2:])
        torch.testing.assert_close(found, expected[[2, 0], 2:], **CLOSE)


def test_eight_bits_say_nearly_the_same(golden_model, golden_pieces):
    pytest.importorskip("numba")
    patches = golden_pieces[2].long()
    exact, rounded = (
        decoder_of(golden_model, [patches[:20]], quantize=quantize) for quantize in (None, "int8")
    )
    divergences = []
    for patch in patches[20:40, None]:
        p, q = (way.begin_patch().log_softmax(-1) for way in (exact, rounded))
        divergences.append(float((p.exp() * (p - q)).sum()))
        exact.push(patch)
        rounded.push(patch)
    assert 0 < sum(divergences) / len(divergences) < 1e-3


def test_what_a_device_or_type_cannot_do_is_refused(model):
    with pytest.raises(UserError, match="cuda_graphs=true needs a CUDA device"):
        Decoder(model, rows=1, cuda_graphs=True)
    with pytest.raises(UserError, match="quantize must be int8 or null, not int4"):
        Decoder(model, rows=1, quantize="int4")
    with pytest.raises(UserError, match="quantize=int8 needs weights in float32"):
        Decoder(model.bfloat16(), rows=1, quantize="int8")


def test_eight_bits_need_numba(in_torch, model):
    with pytest.raises(UserError, match=r"quantize=int8 needs .* numba"):
        Decoder(model, rows=1, quantize="int8")


def test_half_precision_is_close(model):
    piece = random_piece(9, seed=9)
    patch = random_piece(2, seed=3)[1:].long()
    expected = forced_log_probs(decoder_of(model, [piece]), patch)
    found = forced_log_probs(decoder_of(model.bfloat16(), [piece]), patch)
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.1)


def test_rows_need_a_prompt_and_models_eval_mode(model):
    with pytest.raises(ValueError, match="row is empty"):
        Decoder(model, rows=2).begin_patch()
    with pytest.raises(ValueError, match=r"model\.eval\(\)"):
        Decoder(model.train(), rows=1)
