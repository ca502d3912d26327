from bakeoff.records import append_lines, read_lines
from reports.load import load_study
from reports.palette import marks
from reports.stability_figures import never_clipped, stability


def clipped(path, share):
    """Writes a clip fraction into every batch."""
    for file in list(path.glob("*/metrics.jsonl")):
        rows = [row | {"clip_fraction": share} for row in read_lines(file)]
        file.unlink()
        append_lines(file, rows)
    return load_study(path)


def names(study):
    return [figure.name for figure in stability(study, look=marks(study.methods))]


def test_a_clip_fraction_of_0_throughout_is_said_and_not_drawn(make_study):
    study = clipped(make_study(methods=("ppo", "grpo"), seeds=(0, 1)), 0.0)
    assert never_clipped(study)
    assert "stability-clip-fraction" not in names(study)


def test_a_clip_fraction_is_drawn_once_anything_was_clipped(make_study):
    study = clipped(make_study(methods=("ppo", "grpo"), seeds=(0, 1)), 0.02)
    assert not never_clipped(study)
    figures = {figure.name: figure for figure in stability(study, look=marks(study.methods))}
    figure = figures["stability-clip-fraction"]
    assert figure.alt == "Clipped tokens by rollout batch: PPO 0.02 to 0.02; GRPO 0.02 to 0.02."


def test_what_nobody_recorded_is_not_called_0(make_study):
    study = load_study(make_study(methods=("ppo",), seeds=(0,)))
    assert not never_clipped(study)
    # PPO has no groups, so no share of groups with equal rewards.
    assert "stability-zero-variance-share" not in names(study)
    assert "stability-entropy" in names(study)
