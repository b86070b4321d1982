import pytest
import torch

from notagen.model import NotaGen


@pytest.fixture
def contents(checkpoint):
    return torch.load(checkpoint, weights_only=True)


def test_sizes_are_told_from_the_file(golden_model, golden):
    config = golden_model.config
    for name in ("patch_layers", "char_layers", "hidden_size", "patch_length"):
        assert getattr(config, name) == golden["config"][name]
    assert sum(p.numel() for p in golden_model.parameters()) == golden["num_parameters"]


def test_a_published_file_survives_the_way_there_and_back(golden_model, contents, tmp_path):
    golden_model.save_published(tmp_path / "weights.pth")
    again = torch.load(tmp_path / "weights.pth", weights_only=True)["model"]
    assert again.keys() == contents["model"].keys()
    for name, weight in contents["model"].items():
        assert torch.equal(again[name], weight), name


def test_our_own_files_lose_nothing(golden_model, tmp_path):
    golden_model.save_pretrained(tmp_path)
    again = NotaGen.from_pretrained(tmp_path)
    assert again.config == golden_model.config
    assert not again.training
    for name, weight in golden_model.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name


def test_a_file_without_epoch_is_read(contents, golden_model, tmp_path):
    torch.save({"model": contents["model"]}, tmp_path / "bare.pth")
    again = NotaGen.from_published(tmp_path / "bare.pth")
    assert torch.equal(again.char_decoder.wte.weight, golden_model.char_decoder.wte.weight)


def test_weights_of_our_own_that_are_incomplete_are_refused(golden_model, tmp_path):
    from safetensors.torch import load_file, save_file

    golden_model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["char_decoder.ln_f.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(RuntimeError, match=r"char_decoder.ln_f.weight"):
        NotaGen.from_pretrained(tmp_path)


def broken(weights, name, change):
    weights = dict(weights)
    if change is None:
        del weights[name]
    else:
        weights[name] = change(weights.get(name))
    return weights


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("patch_level_decoder.base.wpe.weight", None, "wpe"),
        ("patch_level_decoder.base.h.1.ln_2.bias", None, r"h\.1\.ln_2\.bias is missing"),
        ("text_model.weight", lambda _: torch.zeros(2), r"text_model\.weight is unknown"),
        (
            "patch_level_decoder.patch_embedding.weight",
            lambda weight: weight[:, :1024],
            r"is \(1024, 64\) and should be \(2048, 64\)",
        ),
        ("char_level_decoder.base.lm_head.weight", lambda weight: weight + 1, "tied"),
        (
            "patch_level_decoder.patch_embedding.weight",
            lambda weight: weight[:50],
            r"is \(2048, 50\)",
        ),
        (
            "patch_level_decoder.base.wpe.weight",
            lambda weight: weight[:, :50],
            "multiple of 64, one head each, not 50",
        ),
    ],
)
def test_a_file_of_another_kind_is_named_with_the_reason(contents, tmp_path, name, change, reason):
    path = tmp_path / "other.pth"
    torch.save({"model": broken(contents["model"], name, change)}, path)
    with pytest.raises(ValueError, match=reason) as error:
        NotaGen.from_published(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_called_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        NotaGen.from_published(tmp_path / "nowhere.pth")


def test_what_is_no_checkpoint_at_all_is_named(tmp_path):
    text, other = tmp_path / "text.pth", tmp_path / "list.pth"
    text.write_text("X:1")
    torch.save([1, 2], other)
    for path in (text, other):
        with pytest.raises(ValueError, match=path.name):
            NotaGen.from_published(path)
