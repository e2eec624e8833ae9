"""The clocks of a pair's path: the label ahead of the image, and neither ahead where a side is given."""

import pytest
import torch

from nucleosynth.stages.flow_sampling import SamplingSettings
from nucleosynth.stages.joint import GROUPS

IMAGE, LABEL = GROUPS.index("image"), GROUPS.index("label")


@pytest.mark.parametrize("lead", [0.0, 0.3, 0.7, 1.0])
def test_both_go_from_noise_to_data_and_the_label_is_never_behind(lead: float) -> None:
    times = SamplingSettings(lead=lead).times(16, ())
    assert times[0].tolist() == [0, 0]
    assert times[-1].tolist() == [1, 1]
    assert (times.diff(dim=0) >= 0).all()
    ahead = times[:, LABEL] - times[:, IMAGE]
    assert (ahead >= 0).all()
    assert (ahead[1:-1] > 0).all() == (lead > 0)


def test_at_most_the_label_is_whole_before_the_image_begins() -> None:
    times = SamplingSettings(lead=1).times(16, ())
    assert ((times[:, LABEL] == 1) | (times[:, IMAGE] == 0)).all()
    assert times[8].tolist() == ([0, 1] if (IMAGE, LABEL) == (0, 1) else [1, 0])


@pytest.mark.parametrize("whole", ["image", "label"])
def test_beside_a_given_side_nothing_leads(whole: str) -> None:
    leads, together = (SamplingSettings(lead=lead).times(8, {whole}) for lead in (0.7, 0.0))
    assert torch.equal(leads, together)
    assert (leads[:, GROUPS.index(whole)] == 1).all()


def test_coarse_paths_are_part_of_fine_ones() -> None:
    """What a student of few steps is taught is a path of its teacher's."""
    settings = SamplingSettings()
    torch.testing.assert_close(settings.times(16, ())[::4], settings.times(4, ()))
