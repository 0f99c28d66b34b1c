"""What turns a checkpoint's probabilities into classes."""

from dataclasses import dataclass

from burnscar_assets.evaluation.baseline import NbrThreshold
from burnscar_assets.evaluation.calibration import Temperature
from burnscar_assets.evaluation.decision import Decision
from burnscar_assets.evaluation.map_rules import MapRules


@dataclass(frozen=True)
class Rules:
    """What turns a model's probability and a window's NBR into classes; fixed before anything is scored.

    Attributes:
        threshold: baseline, tuned on the checkpoint's training split.
        decision: probability above which a window is called burnt, fixed on its validation split.
        temperature: of its probabilities of windows, fitted on its validation split.
        maps: calibration and threshold of maps, fixed on frames of validation fires; None if it was judged on windows
            alone.
    """

    threshold: NbrThreshold
    decision: Decision
    temperature: Temperature
    maps: MapRules | None = None

    @property
    def for_maps(self) -> MapRules:
        """Calibration and threshold of maps; where there are none, those of windows."""
        return self.maps or self.without_frames("it was judged on windows alone")

    def without_frames(self, why: str) -> MapRules:
        """What stands in for the rules of maps where no frame can tell."""
        return MapRules.of_windows(self.decision, self.temperature, why)
