"""Is the power of a window one that a board can draw, and does the board's own power reading bear it out?"""

from __future__ import annotations

from irene.errors import MeterError
from irene.meters.reading import DeviceState, Meter

# Of one board or module. The largest that is sold takes a third: 1,000 W a GH200, 1,400 W a GB300's GPU (NVIDIA's data
# sheets). Where the board's own cap is known, rows are held to that.
MOST_POWER_W = 5_000.0
_APART = 0.3  # calls whose power swings are seldom further off; a counter of another scope, or scale, is
_STEADY_S = 1.4  # a reading is an average over 1 s: earlier it still has the time before the calls in it


def require_possible(power_w: float, span_s: float) -> None:
    """Raise MeterError for a power that no board draws: the counter is wrong."""
    if not power_w <= MOST_POWER_W:
        raise MeterError(
            f"The energy counter says {power_w:.0f} W over {span_s:.3f} s; no board draws more than {MOST_POWER_W:.0f} "
            "W. The counter is wrong."
        )


def note_on_power(meter: Meter, counter_w: float, after: DeviceState, busy_s: float) -> str:
    """What a row must say about its joules; '' where all is well.

    That is the meter's own note (a counter of more than the board), and a counter far from the power reading `after` a
    window, `busy_s` seconds after the first call.
    """
    notes = [getattr(meter, "note", "")]
    reading_w = after.power_w
    if reading_w is not None and busy_s >= _STEADY_S and abs(counter_w - reading_w) > _APART * reading_w:
        apart = f"{100 * (counter_w / reading_w - 1):+.0f} % off" if reading_w > 0 else "far off"
        notes.append(f"counter {counter_w:.0f} W, {apart} the power reading of {reading_w:.0f} W")
    return "; ".join(filter(None, notes))
