"""What the papers claim, their figures, and what would decide each claim here.

Numbers are those of section 5 of the list that the matrix was made for; they are kept so that a
claim keeps its number. Figures marked "read off" come from a plot, within about 0.2 points.
"""

from dataclasses import dataclass

DEEPSEEKMATH = "DeepSeekMath, arXiv:2402.03300v3"
MATH_SHEPHERD = "Math-Shepherd, arXiv:2312.08935v3"
RAFT = "A Minimalist Approach, arXiv:2504.11343v2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim, as published and as it is decided here."""

    number: int
    title: str
    statement: str
    source: str
    figure: str  # what the paper measured
    test: str  # what decides, declared before the runs


CLAIMS = (
    Claim(
        number=1,
        title="Online RFT equals RFT early and beats it late",
        statement="Sampling from the current policy gains little at first and an absolute "
        "advantage later.",
        source=f"{DEEPSEEKMATH} fig. 5 and section 5.2.1",
        figure="online RFT − RFT, first 2k of 8.8k steps and last third, read off: GSM8K +0.7 and "
        "+2.3, MATH +0.1 and +1.2; one run",
        test="late third > 0 and late third − early third > 0; a late third below 0 contradicts",
    ),
    Claim(
        number=2,
        title="RFT plateaus",
        statement="RFT stops improving early while online RFT goes on.",
        source=f"{DEEPSEEKMATH} fig. 5",
        figure="GSM8K, read off: RFT flat at 59.8 ± 0.3 from 2k of 8.8k steps on, online RFT from "
        "60.6 to 62.1; one run",
        test="slope over the last half, online RFT − RFT > 0",
    ),
    Claim(
        number=3,
        title="GRPO beats online RFT",
        statement="A gradient coefficient with a sign and a size beats keeping what is correct.",
        source=f"{DEEPSEEKMATH} fig. 5 and section 5.2.1",
        figure="GRPO+OS − online RFT at the end, read off: GSM8K +1.2, MATH +0.5; one run, and "
        "the two differ in reward model and KL too",
        test="final GRPO − online RFT > 0; the coefficient, the reward model and beta are told "
        "apart by eight arms",
    ),
    Claim(
        number=4,
        title="Process supervision beats outcome supervision",
        statement="GRPO with a reward at every step's end is at least as good as with one at the "
        "end.",
        source=f"{DEEPSEEKMATH} fig. 5 and section 5.2.1",
        figure="GRPO+PS − GRPO+OS at the end, read off: GSM8K +1.7, MATH +0.3; one run",
        test="with the exact step checker, grpo_process − grpo > 0",
    ),
    Claim(
        number=5,
        title="Iterative training beats a frozen reward model",
        statement="Refitting the reward model and resetting the reference helps; a frozen reward "
        "model is over-optimised in the end.",
        source=f"{DEEPSEEKMATH} fig. 6 and Algorithm 1",
        figure="MATH, read off: frozen 50.0 at its best and 48.7 at its end, 51.6 after one "
        "iteration; one run",
        test="grpo_iterative − grpo_orm > 0 at the end",
    ),
    Claim(
        number=6,
        title="Maj@K rises, Pass@K does not",
        statement="RL moves correct answers to the top of what the policy could already say.",
        source=f"{DEEPSEEKMATH} fig. 7 and section 5.2.2",
        figure="GSM8K, read off: Pass@1 +6.7, Maj@64 +1.5, Pass@64 −1.8, crossing near K = 6; "
        "MATH Maj@64 +1.0, Pass@64 −0.7",
        test="at the largest K, out of domain, GRPO − start: maj@K > 0, and pass@K below 0 or "
        "within ±1 point; a pass@K above 0 contradicts",
    ),
    Claim(
        number=7,
        title="RL algorithms differ little",
        statement="PPO, GRPO, RLOO, REINFORCE++ and DAPO end close to each other, all far below "
        "the base model's coverage.",
        source="Does RL really incentivize reasoning, arXiv:2504.13837",
        figure="base pass@256 − RL pass@1 between 42.6 (RLOO) and 43.9 (GRPO) points",
        test="every pair of the five within ±2 points; a pair beyond ±2 contradicts",
    ),
    Claim(
        number=8,
        title="RFT < ORM-PPO < step-by-step PPO",
        statement="PPO on an outcome reward model beats RFT, and PPO on a process reward model "
        "beats both.",
        source=f"{MATH_SHEPHERD} table 2",
        figure="Mistral-7B, greedy: GSM8K 79.0 / 81.8 / 84.1, MATH 29.9 / 31.3 / 33.0; one run",
        test="ppo_orm − rft > 0 and ppo_process_prm − ppo_orm > 0",
    ),
    Claim(
        number=9,
        title="PRM > ORM > majority as verifier",
        statement="Best of N by a process reward model beats an outcome reward model, which beats "
        "the vote; more so on the harder set, where weighing the vote helps too.",
        source=f"{MATH_SHEPHERD} table 1",
        figure="LLaMA2-70B, N = 256: vote, ORM, PRM, weighted by PRM: GSM8K 88.0 / 91.8 / 93.2 / "
        "92.4, MATH500 39.4 / 40.4 / 44.5 / 45.2",
        test="out of domain, at the largest K: PRM − ORM > 0 and ORM − vote > 0",
    ),
    Claim(
        number=10,
        title="A verifier from before RL is stale after it",
        statement="What the reward model adds over the vote on the start's samples it no longer "
        "adds on those of the policy that was trained with it.",
        source=f"{MATH_SHEPHERD} table 3",
        figure="MATH500, N = 256, PRM − vote: 37.3 − 35.1 before, 41.1 − 42.3 after PPO",
        test="out of domain, at the largest K: (best of K by the PRM − vote) of the start minus "
        "that of ppo_process_prm > 0",
    ),
    Claim(
        number=11,
        title="Hard estimation peaks at few completions",
        statement="Calling a step good when any completion succeeds is most accurate at a small N "
        "and then falls; the share that succeeds keeps approaching the truth.",
        source=f"{MATH_SHEPHERD} section 5.2",
        figure="160 labelled GSM8K steps: hard estimation 86 % accurate at N = 4, less above",
        test="hard at its best N − hard at the largest N > 0, over all smaller N after Holm, and "
        "soft at the largest N − soft at N = 1 > 0",
    ),
    Claim(
        number=13,
        title="Positive-only learning is fast early, loses its entropy, and is overtaken",
        statement="Training on correct responses alone gains faster at first; its entropy "
        "collapses and GRPO passes it.",
        source=f"{RAFT} fig. 2 and 3",
        figure="RAFT++ ahead of GRPO until about iteration 100, 52.5 against 53.9 at the end in "
        "v1, 56.1 against 56.3 in v2",
        test="online RFT − GRPO: early third > 0, late third < 0, and entropy fallen further from "
        "the first tenth of the batches to the last",
    ),
    Claim(
        number=14,
        title="Ignoring all-wrong prompts explains GRPO's edge, dividing by the std does not",
        statement="REINFORCE gains most of what GRPO gains once prompts without a correct "
        "response are left out.",
        source=f"{RAFT} fig. 4",
        figure="six arms in a plot; Reinforce 53.9, Reinforce-Rej 56.4, GRPO 56.3 on "
        "Qwen2.5-Math-7B",
        test="gain of leaving all-wrong prompts out > 0, and that gain − gain of the std > 0",
    ),
    Claim(
        number=15,
        title="The divisions of GRPO are biases",
        statement="Dividing by the length lets wrong responses grow; Dr. GRPO stops that at equal "
        "accuracy.",
        source="Dr. GRPO, arXiv:2503.20783",
        figure="curves of the length of wrong responses; accuracy equal over three runs",
        test="tokens of wrong responses in the last tenth, grpo_no_kl − dr_grpo > 0, and accuracy "
        "within ±2 points",
    ),
    Claim(
        number=16,
        title="Groups without a spread multiply; sampling others pays",
        statement="The share of groups without a gradient rises through training, and replacing "
        "them gains at equal samples.",
        source="DAPO, arXiv:2503.14476",
        figure="AIME24, 42 without and 50 with dynamic sampling; per step, one run",
        test="slope of the share of such groups in GRPO > 0, and dapo − dapo_static > 0 at equal "
        "sampled tokens",
    ),
    Claim(
        number=17,
        title="Clipping matters off-policy only",
        statement="With one update a batch the clip never binds; with several it binds, and "
        "without it ratios hurt.",
        source=f"{DEEPSEEKMATH} section 4.2; {RAFT} section 4",
        figure="mu = 1 by construction; ratios without a clip below plain RAFT, in a plot",
        test="clip fraction 0 in every batch of grpo and above 0 in grpo_mu4, and grpo_mu4 − "
        "grpo_mu4_no_clip > 0",
    ),
    Claim(
        number=18,
        title="Vanilla PPO loses because of its critic",
        statement="A pretrained critic and a lambda of its own make the difference, not the "
        "algorithm.",
        source="VC-PPO, arXiv:2503.01491; VAPO, arXiv:2504.05118 table 1",
        figure="AIME24: vanilla PPO 5, VAPO 60; without value pretraining −49, without decoupled "
        "GAE −27",
        test="ppo_pretrained − ppo_vanilla > 0",
    ),
    Claim(
        number=22,
        title="Random rewards can raise accuracy",
        statement="A reward that knows nothing of the answer improves the policy.",
        source="Spurious Rewards, arXiv:2506.10947",
        figure="Qwen2.5-Math-7B, MATH500: +21.4 points with random rewards",
        test="random_reward − start > 0; below 0 or within ±1 point contradicts",
    ),
    Claim(
        number=23,
        title="The papers' identities hold",
        statement="Gradient coefficients, estimators and limits are what the equations say.",
        source=f"{DEEPSEEKMATH} eq. 2 to 21 and others, each beside its number",
        figure="exact",
        test="every identity holds to the rounding of float32",
    ),
)
