"""The char level in chunks, each run forward and backward at once.

The char level holds most of a training step's activations, and its patches do not see each
other. So the gradients of a chunk can be computed as soon as its likelihoods are, and its
activations forgotten: the same gradients in a fraction of the memory, with nothing recomputed.
The price is that the loss must be known beforehand: here, the sum over characters, up to a factor.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from notagen.patches import PAD, PATCH_SIZE


def chunked_nll(level: nn.Module, vectors: Tensor, patches: Tensor, chunk: int) -> Tensor:
    """As `level(vectors, patches)`, holding the activations of `chunk` full patches at a time.

    The backward pass accepts losses in which every character weighs the same, as in a sum or a
    mean; it raises RuntimeError for others.
    """
    parameters = [parameter for parameter in level.parameters() if parameter.requires_grad]
    nll: Tensor = _ChunkedNLL.apply(level, chunk, patches, vectors, *parameters)  # type: ignore[no-untyped-call]
    return nll


class _ChunkedNLL(Function):
    @staticmethod
    def forward(
        ctx: Any, level: nn.Module, chunk: int, patches: Tensor, vectors: Tensor, *weights: Tensor
    ) -> Tensor:
        # Attention is one call for each length, so patches of one length share a chunk.
        lengths, order = (patches != PAD).sum(1).sort()
        back = order.argsort()
        sizes = (lengths.cumsum(0) // (chunk * PATCH_SIZE + 1)).bincount().tolist()
        nlls, vector_grads = [], []
        weight_grads = [torch.zeros_like(weight) for weight in weights]
        for targets, part in zip(
            torch.split(patches[order], sizes), torch.split(vectors[order], sizes), strict=True
        ):
            with torch.enable_grad():
                leaf = part.detach().requires_grad_()
                nll = level(leaf, targets)
                vector_grad, *grads = torch.autograd.grad(nll.sum(), [leaf, *weights])
            nlls.append(nll.detach())
            vector_grads.append(vector_grad)
            for total, grad in zip(weight_grads, grads, strict=True):
                total += grad
        ctx.save_for_backward(patches != PAD, torch.cat(vector_grads)[back], *weight_grads)
        return torch.cat(nlls)[back]

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        counted, *grads = ctx.saved_tensors
        factors = outer[0][counted]
        if not torch.equal(factors, factors[:1].expand_as(factors)):
            raise RuntimeError("in chunks, every character must weigh the same in the loss")
        return (None, None, None, *(factors[0] * grad for grad in grads))
