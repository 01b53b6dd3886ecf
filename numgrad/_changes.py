"""A count of the changes to what programs made by `compile` take for granted.

Modules, optimizers and settings count up when they change; a program looks again at what it
depends on only when the count has moved.
"""


class Changes:
    """`changes.count += 1` says that something has changed."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


changes = Changes()
