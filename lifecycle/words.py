"""Figures as people read them."""


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def number(value: float) -> str:
    """One decimal from ten on, else three."""
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
