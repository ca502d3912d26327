import re

import numpy as np

from reports.comparison import compare
from reports.figures import curves, results
from reports.load import load_study
from reports.palette import marks


def many(make_study, n, **changes):
    arms = tuple(f"arm{i:02}" for i in range(n))
    study = load_study(make_study(methods=arms, problems=6, batches=2, **changes))
    comparison = compare(study, rng=np.random.default_rng(0))
    return study, comparison, marks(arms, best=arms[2:])


def said(figure):
    return re.findall(r">([^<>]+)</text>", figure.inline)


def test_of_many_methods_the_best_are_labelled_and_all_are_drawn(make_study):
    study, comparison, look = many(make_study, 10, seeds=(0, 1), interim=1)
    curve = curves(study, look=look, rng=np.random.default_rng(0))[0]
    labels = {text for text in said(curve) if text.startswith("arm")}
    assert labels == set(study.methods[2:])
    assert all(method in curve.alt for method in study.methods)
    assert {text for text in said(results(study, comparison, look=look)) if "arm" in text} == set(
        study.methods
    )


def test_results_of_very_many_methods_show_those_in_colour(make_study):
    study, comparison, look = many(make_study, 26, seeds=(0,), interim=0)
    shown = [text for text in said(results(study, comparison, look=look)) if "arm" in text]
    assert shown == list(study.methods[2:10])


def test_so_many_seeds_that_they_would_blur_are_not_drawn_as_dots(make_study):
    study, comparison, look = many(make_study, 1, seeds=tuple(range(21)), interim=0)
    assert "dots are seeds" not in " ".join(said(results(study, comparison, look=look)))


def test_a_few_seeds_are_dots(make_study):
    study, comparison, look = many(make_study, 1, seeds=(0, 1), interim=0)
    assert "dots are seeds" in " ".join(said(results(study, comparison, look=look)))
