"""Weights that a run never changes are not in its checkpoints: each start reads, or draws, them again.

Of an adapter's run that is all but a hundredth of the weights.
"""

from typing import Any

from torch import nn

from lifecycle.errors import CorruptArtifactError


def leave_frozen_out(module: nn.Module) -> None:
    """Let `module.state_dict()` hold no frozen weights, under none of their names.

    DeepSpeed's own `exclude_frozen_parameters` keeps a tied weight under its second name, and the constants of 4-bit ones.
    """
    module.register_state_dict_post_hook(_drop)


def load_trained(src: dict[str, Any], dst: nn.Module) -> None:
    """Load a state that `leave_frozen_out` has made; DeepSpeed calls it with these names.

    Raises:
        CorruptArtifactError: a trained weight or a buffer is missing, or there are others.
    """
    result = dst.load_state_dict(src, strict=False)
    missing = [name for name in result.missing_keys if not _is_frozen(name, _frozen(dst))]
    wrong = [*missing, *result.unexpected_keys]
    if wrong:
        raise CorruptArtifactError(
            f"the checkpoint's weights are not those of this model: {len(missing)} are missing and "
            f"{len(result.unexpected_keys)} too many; the first is {wrong[0]}"
        )


def _drop(module: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    frozen = _frozen(module)
    for name in [name for name in state if _is_frozen(name.removeprefix(prefix), frozen)]:
        del state[name]


def _frozen(module: nn.Module) -> set[str]:
    return {name for name, parameter in module.named_parameters(remove_duplicate=False) if not parameter.requires_grad}


def _is_frozen(name: str, frozen: set[str]) -> bool:
    """Whether it is a frozen weight, or, as in `weight.absmax`, belongs to one of 4 bits."""
    owner, weight, _ = name.partition(".weight.")
    return name in frozen or (bool(weight) and f"{owner}.weight" in frozen)
