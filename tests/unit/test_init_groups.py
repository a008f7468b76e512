"""Groups that `foldbelt init` reads from names, where the images agree."""

import itertools
import re

import numpy as np
import pytest

from foldbelt.init import groups


def test_names_betray_groups_only_where_images_agree(tmp_path):
    random = np.random.default_rng(0)
    ids = [f"{patient:02d}_{view}" for patient in range(12) for view in range(4)]
    centres = random.normal(size=(12, 50))
    alike = {name: centres[int(name[:2])] + 0.3 * random.normal(size=50) for name in ids}
    chance = {name: random.normal(size=50) for name in ids}
    unit = {name: value / np.linalg.norm(value) for name, value in alike.items()}
    grouping = groups.by_names(ids, unit)
    assert grouping is not None
    assert grouping.number == 12
    noise = {name: value / np.linalg.norm(value) for name, value in chance.items()}
    assert groups.by_names(ids, noise) is None
    numbered = [f"im{k:03d}" for k in range(48)]
    assert groups.by_names(numbered, dict(zip(numbered, unit.values(), strict=True))) is None


@pytest.mark.parametrize(("patient", "number"), [(0.6, 10), (0.0, 20)])
def test_sessions_of_a_patient_are_joined_where_their_images_are_alike(patient, number):
    """The finer groups are always the more alike; what leaks across them decides."""
    random = np.random.default_rng(0)
    patients, sessions = random.normal(size=(10, 50)), random.normal(size=(10, 2, 50))
    ids, thumbs = [], {}
    for p, s, view in itertools.product(range(10), range(2), range(4)):
        image = patient * patients[p] + sessions[p, s] + 0.4 * random.normal(size=50)
        ids.append(f"{p}_s{p}{s}_{view}")
        thumbs[ids[-1]] = image / np.linalg.norm(image)
    grouping = groups.by_names(ids, thumbs)
    assert grouping.number == number
    assert len({re.search(grouping.pattern, name)[1] for name in ids}) == number
