from reports.load import load_study
from reports.palette import marks
from reports.transcripts import exhibits


def shown_of(path, **best):
    study = load_study(path)
    return exhibits(study, look=marks(study.methods, **best))


def test_every_policy_answers_the_same_problem(make_study):
    shown = shown_of(make_study())
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
    shown = shown_of(make_study())
    split = [len({r.verdict for r in exhibit.responses}) for exhibit in shown]
    assert split == sorted(split, reverse=True)


def test_no_transcripts_no_exhibits(make_study):
    path = make_study(methods=("ppo",), seeds=(0,))
    for file in path.glob("*/transcripts.jsonl"):
        file.unlink()
    assert shown_of(path) == ()


def test_of_many_methods_only_those_in_colour_speak(make_study):
    arms = tuple(f"arm{n}" for n in range(10))
    path = make_study(methods=arms, seeds=(0,), problems=4, interim=0, batches=2)
    policies = [r.policy for r in shown_of(path, best=arms[2:])[0].responses]
    assert policies == ["start", *arms[2:]]
