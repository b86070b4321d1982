"""The char level in chunks, each run forward and backward at once.

The char level holds most of a training step's activations, and its patches do not attend to each
other. So the gradients of a chunk can be computed right after its likelihoods, and its activations
freed: the same gradients in a fraction of the memory, with nothing recomputed. The price is that
the loss must be known beforehand: here, the sum over characters, up to a factor.

Shapes: P = predicted patches, S = 16 characters of a patch, D = hidden size.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from notagen.patches import PAD, PATCH_SIZE


def chunked_nll(
    char_decoder: nn.Module, hidden_PD: Tensor, patches_PS: Tensor, chunk: int
) -> Tensor:
    """Compute `char_decoder(hidden, patches)` in chunks: [P, D] and long [P, S] -> nats [P, S].

    Args:
        char_decoder: the char level.
        hidden_PD: the patch level's output at the patch before each one.
        patches_PS: the patches to predict.
        chunk: characters of a chunk, in full patches of 16.

    Raises:
        RuntimeError: in the backward pass, when characters differ in their weight in the loss; in
            a sum or a mean they do not.
    """
    parameters = [weight for weight in char_decoder.parameters() if weight.requires_grad]
    # The parameters are arguments, since autograd gives gradients to arguments only.
    nll_PS: Tensor = _ChunkedNLL.apply(char_decoder, chunk, patches_PS, hidden_PD, *parameters)  # type: ignore[no-untyped-call]
    return nll_PS


class _ChunkedNLL(Function):
    @staticmethod
    def forward(
        ctx: Any,
        char_decoder: nn.Module,
        chunk: int,
        patches_PS: Tensor,
        hidden_PD: Tensor,
        *weights: Tensor,
    ) -> Tensor:
        # Attention is one call for each length, so patches of one length share a chunk.
        lengths, order = (patches_PS != PAD).sum(1).sort()
        inverse = order.argsort()
        # A patch's chunk is the number of whole chunks of characters before its end.
        sizes = (lengths.cumsum(0) // (chunk * PATCH_SIZE + 1)).bincount().tolist()
        nlls, hidden_grads = [], []
        weight_grads = [torch.zeros_like(weight) for weight in weights]
        for targets, hidden in zip(
            torch.split(patches_PS[order], sizes),
            torch.split(hidden_PD[order], sizes),
            strict=True,
        ):
            with torch.enable_grad():  # forward of a Function runs without
                leaf = hidden.detach().requires_grad_()
                nll = char_decoder(leaf, targets)
                hidden_grad, *grads = torch.autograd.grad(nll.sum(), [leaf, *weights])
            nlls.append(nll.detach())
            hidden_grads.append(hidden_grad)
            for total, grad in zip(weight_grads, grads, strict=True):
                total += grad
        ctx.save_for_backward(patches_PS != PAD, torch.cat(hidden_grads)[inverse], *weight_grads)
        return torch.cat(nlls)[inverse]

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        counted_PS, *grads = ctx.saved_tensors
        factors = outer[0][counted_PS]  # derivative of the loss by each character's likelihood
        if not torch.equal(factors, factors[:1].expand_as(factors)):
            raise RuntimeError("in chunks, every character must weigh the same in the loss")
        return (None, None, None, *(factors[0] * grad for grad in grads))
