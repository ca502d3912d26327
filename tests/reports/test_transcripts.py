from reports.load import load_study
from reports.transcripts import exhibits


def test_every_policy_answers_the_same_problem(make_study):
    shown = exhibits(load_study(make_study()))
    assert len(shown) == 3
    for exhibit in shown:
        assert [r.policy for r in exhibit.responses] == [
            "start",
            "PPO",
            "RFT",
            "Online RFT",
            "GRPO",
        ]
        assert {r.verdict for r in exhibit.responses} <= {"right", "wrong"}


def test_disagreement_comes_first(make_study):
    shown = exhibits(load_study(make_study()))
    split = [len({r.verdict for r in exhibit.responses}) for exhibit in shown]
    assert split == sorted(split, reverse=True)


def test_no_transcripts_no_exhibits(make_study):
    path = make_study(methods=("ppo",), seeds=(0,))
    for file in path.glob("*/transcripts.jsonl"):
        file.unlink()
    assert exhibits(load_study(path)) == ()
