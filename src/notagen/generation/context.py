"""What a model goes on from once a piece is longer than its context."""

from __future__ import annotations

from notagen.patches import Patches, line_starts


def context_start(patches: Patches, length: int) -> tuple[int, int]:
    """Which patches to keep: the first so many, and all from another one on.

    All that is written, or, once that is too long, the header and the last half of the body
    lines (and of a body that is a single line, its end). A header takes half of the context at
    most.

    Args:
        patches: [n, 16].
        length: of the context; fewer patches than this are kept.

    Returns:
        End of what is kept of the header, and where the rest starts.
    """
    if len(patches) < length:
        return 0, 0
    starts = line_starts(patches)
    header = min(int(starts[0]) if len(starts) else 1, length // 2)
    room = length - header
    for start in starts[len(starts) // 2 :]:
        if len(patches) - start < room:
            return header, int(start)
    return header, len(patches) - room // 2
