"""The level of all intervals."""

LEVEL = 0.95
"""Share of the trials in which an interval holds; every number and every text follows it."""


def percent(level: float = LEVEL) -> str:
    """Word the level of an interval.

    Examples
    --------
    >>> percent(0.5)
    '50 %'
    """
    return f"{100 * level:.4g} %"
