from pathlib import Path

import pytest

from bakeoff.errors import BakeoffError
from reports.fields import need

FILE = Path("study.json")


def test_a_field_of_the_right_kind_is_its_value():
    assert need({"budget": 4e5}, "budget", FILE, (int, float)) == 4e5


@pytest.mark.parametrize(("row", "value"), [({}, "None"), ({"budget": "much"}, "'much'")])
def test_a_missing_or_unlike_field_is_named_with_its_file(row, value):
    with pytest.raises(BakeoffError, match=rf"study\.json: 'budget' is {value}, expected a number"):
        need(row, "budget", FILE, (int, float))
    with pytest.raises(BakeoffError, match="expected dict"):
        need(row, "budget", FILE, dict)
