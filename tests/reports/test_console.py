from bakeoff.records import read_json, write_json
from reports.console import print_ablation, print_comparison
from reports.write import write_report

TRIAL = {"state": "complete", "reason": "", "cost": {"device_seconds": 1234.4}}


def test_a_comparison_is_printed_with_intervals_and_its_place(make_study, capsys):
    path = make_study(methods=("grpo", "rft"))
    write_report(path)
    summary = read_json(path / "report" / "summary.json")
    print_comparison(path)
    printed = capsys.readouterr().out
    value = summary["methods"]["grpo"]["metrics"]["pass@1"]
    assert f"{100 * value['mean']:.1f} [{100 * value['low']:.1f}, " in printed
    assert "grpo (n=3)" in printed
    assert "NOT COMPARABLE" not in printed
    assert str(path / "report" / "report.html") in printed.replace("\n", "")


def test_a_failed_gate_is_printed(make_study, capsys):
    failed = [{"check": "ratio is 1 at step 0", "reason": "off by 0.2"}]
    path = make_study(methods=("grpo",), gate={"passed": False, "failed": failed, "forced": True})
    write_report(path)
    print_comparison(path)
    assert "NOT COMPARABLE: ratio is 1 at step 0: off by 0.2" in capsys.readouterr().out


def test_the_best_trials_of_an_ablation_come_first_with_the_dashboards(tmp_path, capsys):
    trials = [
        TRIAL | {"arm": f"group_size={size}", "values": {"pass@1": value, "peak_bytes": 2e9}}
        for size, value in ((4, 0.5), (8, 0.75), (16, 0.625))
    ]
    trials.append(TRIAL | {"arm": "group_size=32", "state": "pruned", "values": None})
    ablation = {"title": "Sizes", "objectives": ["pass@1", "peak_bytes"], "trials": trials}
    write_json(tmp_path / "study.json", {"ablation": ablation, "gate": {"passed": True}})
    print_ablation(tmp_path, storage="sqlite:///a.db", tracking_uri="sqlite:///m.db")
    lines = capsys.readouterr().out.splitlines()
    arms = [line.split()[0] for line in lines if line.strip().startswith("group_size")]
    assert arms == ["group_size=8", "group_size=16", "group_size=4"]
    assert any("0.75" in line and "2e+09" in line and "1,234" in line for line in lines)
    assert any("3 of 4 trials complete" in line for line in lines)
    assert "optuna-dashboard sqlite:///a.db" in lines
    assert "mlflow ui --backend-store-uri sqlite:///m.db" in lines


def test_without_tracking_there_is_no_mlflow_to_open(tmp_path, capsys):
    ablation = {"title": "Sizes", "objectives": ["pass@1"], "trials": []}
    write_json(tmp_path / "study.json", {"ablation": ablation, "gate": {"passed": True}})
    print_ablation(tmp_path, storage="sqlite:///a.db", tracking_uri=None)
    assert "mlflow" not in capsys.readouterr().out
