"""Which transitions are online and which were shown (HIL-SERL, Luo et al. 2024,
arXiv 2410.21845).

Every transition of the robot is online, whoever acted. One in which a person acted was shown, too,
like all that is in the demonstrations; it is stored once, and the second half is a view of it. So
nothing is copied, lost or doubled, and an intervention's edges are counted once, where it lies.

Unlike there, an episode that ran out of time is truncated and not terminated, and what is learnt
from is the action that was executed, not the one that the person's device sent.
"""

from __future__ import annotations

from vla_rl_nodes.errors import InputError
from vla_rl_nodes.replay.store.forms import Chunks, Form
from vla_rl_nodes.replay.store.pool import Pool, View, intervened
from vla_rl_nodes.replay.store.store import EpisodeStore

_ACTION = "action_executed"


def online_pool(online: EpisodeStore, form: Form) -> Pool:
    """The first half: all that the robot did.

    Raises:
        InputError: a form that lets steps in of which nobody knows what was executed.
    """
    return Pool([View(online)], _learnable(form))


def shown_pool(online: EpisodeStore, demonstrations: EpisodeStore, form: Form) -> Pool:
    """The second half: what people did while the robot acted, and the demonstrations.

    Of a slice or a chunk its first step says who acted.

    Raises:
        InputError: as of :func:`online_pool`.
    """
    return Pool([View(online, intervened), View(demonstrations)], _learnable(form))


def _learnable(form: Form) -> Form:
    """The form, when it holds no step without an executed action."""
    if isinstance(form, Chunks) or _ACTION in form.fields:
        return form
    raise InputError(
        "form", "would hold steps without an executed action", f"name {_ACTION} in its fields"
    )
