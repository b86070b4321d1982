import torch
from torch import nn

from notagen.training.optim import Muon, orthogonalised


def test_orthogonalised_keeps_directions_and_evens_out_lengths():
    torch.manual_seed(0)
    for rows, columns in ((8, 24), (24, 8)):
        matrix = torch.randn(2, rows, columns)
        u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
        values = torch.linalg.svdvals(u.mT @ orthogonalised(matrix, 5) @ vh.mT)
        assert values.min() > 0.5
        assert values.max() < 1.3


def blocks() -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict({"net": nn.ModuleDict({"h": nn.Linear(4, 6)}), "wte": nn.Embedding(5, 4)})


def test_first_step_is_an_orthogonal_update_of_the_matrices():
    module = blocks()
    optimizer = Muon(module.named_parameters(), lr=0.1, adamw_lr=0.01, weight_decay=0.0)
    weight = module["net"]["h"].weight
    before, gradient = weight.detach().clone(), torch.randn(6, 4)
    weight.grad = gradient
    optimizer.step()
    expected = orthogonalised(gradient[None], 5)[0]
    torch.testing.assert_close(before - weight.detach(), 0.1 * (6 / 4) ** 0.5 * expected)


def test_everything_else_follows_adamw():
    ours, theirs = blocks(), blocks()
    muon = Muon(ours.named_parameters(), lr=0.1, adamw_lr=0.01)
    adamw = torch.optim.AdamW(
        [theirs["wte"].weight, theirs["net"]["h"].bias], lr=0.01, betas=(0.9, 0.95)
    )
    for step in range(3):
        torch.manual_seed(step)
        gradients = [torch.randn(5, 4), torch.randn(6)]
        for module in (ours, theirs):
            module["wte"].weight.grad, module["net"]["h"].bias.grad = (g.clone() for g in gradients)
        muon.step()
        adamw.step()
    torch.testing.assert_close(ours["wte"].weight, theirs["wte"].weight)
    torch.testing.assert_close(ours["net"]["h"].bias, theirs["net"]["h"].bias)


def test_state_survives_saving():
    module = blocks()
    muon = Muon(module.named_parameters(), lr=0.1, adamw_lr=0.01)
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    muon.step()
    other = Muon(module.named_parameters(), lr=0.1, adamw_lr=0.01)
    other.load_state_dict(muon.state_dict())
    for mine, its in zip(muon.state.values(), other.state.values(), strict=True):
        assert mine.keys() == its.keys()
        for name in mine:
            torch.testing.assert_close(mine[name], its[name])
