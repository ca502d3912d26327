from reports.claims.paper import CLAIMS


def test_claims_are_numbered_once_in_order():
    numbers = [claim.number for claim in CLAIMS]
    assert numbers == sorted(set(numbers))


def test_every_source_names_a_paper_that_can_be_found():
    assert [claim.number for claim in CLAIMS if "arXiv:" not in claim.source] == []
