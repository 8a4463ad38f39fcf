"""Learning rates of the training that follows a cut.

Zimmer, Spiegel and Pokutta, "How I Learned to Stop Worrying and Love Retraining", ICLR 2023, arXiv 2111.00843.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from evosparse.errors import SpecError
from evosparse.nets import ScheduleSpec

Retraining = Literal["ft", "lrw", "clr", "slr", "llr", "allr"]
WARMUP = 0.1


@dataclass(frozen=True)
class RetrainingSchedule:
    """The learning rate of one retraining, in place of a `ScheduleSpec`: shares of the full rate of the first training.

    Args:
        name: fine-tuning (``ft``) at the last rate of the first training; learning-rate rewinding (``lrw``), its last
            rates once more; cyclic (``clr``), a half cosine from its first rate to its last; scaled (``slr``), all its
            rates in less time; linear (``llr``), from its first rate to zero; ``allr``, the same times a factor that is
            each network's own (see `adaptive_start`). All but the first two begin with a tenth of the time as
            warm-up from zero by a half cosine.
        original: schedule of the first training.
        original_epochs: its length.
        steps: in an epoch.

    Raises:
        SpecError: what is rewound is longer than the first training (when the rate is asked for).
    """

    name: Retraining
    original: ScheduleSpec
    original_epochs: int
    steps: int

    def share(self, epochs: float, total_epochs: int) -> float:
        """Return the share of the full learning rate after so many of so many epochs of the retraining."""
        last = self._original(self.original_epochs - 1 / self.steps)
        if self.name == "ft":
            return last
        if self.name == "lrw":
            self.expect_fitting(total_epochs)
            return self._original(self.original_epochs - total_epochs + epochs)
        progress = (epochs / total_epochs - WARMUP) / (1 - WARMUP)
        if progress < 0:
            return self._after_warmup(0, last) * 0.5 * (1 - math.cos(math.pi * epochs / (WARMUP * total_epochs)))
        return self._after_warmup(progress, last)

    def expect_fitting(self, epochs: int) -> None:
        """Refuse to rewind to before the beginning."""
        if self.name == "lrw" and epochs > self.original_epochs:
            raise SpecError(
                f"retraining lrw: expected at most the {self.original_epochs} epochs of the first training, whose last rates"
                f" are gone through again, got {epochs}; retrain in more rounds or fewer epochs, or take slr"
            )

    def _after_warmup(self, progress: float, last: float) -> float:
        if self.name == "clr":
            return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * progress))
        if self.name == "slr":
            steps = self.original_epochs * self.steps
            # The nudge keeps steps that fall together with one of the first training from being taken for the one before.
            return self._original(min(int(progress * steps + 1e-9), steps - 1) / self.steps)
        return 1 - progress

    def _original(self, epochs: float) -> float:
        return self.original.share(epochs, self.original_epochs)


def adaptive_start(norm: float, kept_norm: float, removed: float, epochs: int, original_epochs: int) -> float:
    """Return the factor of the first rate with which ALLR begins: the more a cut took, the more is to be made good.

    Args:
        norm: of the parameters before the cut.
        kept_norm: of those that are left.
        removed: share of the existing weights that the cut removed.
        epochs: of the retraining.
        original_epochs: of the first training.
    """
    lost = math.sqrt(max(0.0, norm**2 - kept_norm**2))
    relative = lost / (norm * math.sqrt(removed)) if norm and removed else 0.0
    return min(1.0, max(relative, min(epochs / original_epochs, 1.0)))
