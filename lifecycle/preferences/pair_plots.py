"""Pictures of the preference pairs: scores, lengths, what became of the prompts, and how far judges agree."""

from collections.abc import Sequence
from pathlib import Path

from lifecycle.ledger import SourceLedger
from lifecycle.plots import plot
from lifecycle.preferences.agreement import Agreement
from lifecycle.preferences.asked import Judgement
from lifecycle.preferences.score import words
from lifecycle.preferences.table import Pair

BINS = 20


def draw_pairs(
    run_dir: Path,
    pairs: Sequence[Pair],
    sampled: SourceLedger,
    judgements: Sequence[Judgement],
    agreed: Sequence[Agreement],
) -> None:
    """Draw everything; pictures for which there is nothing to show are left out."""
    _scores(run_dir, pairs)
    _lengths(run_dir, pairs)
    outcomes = {"kept": sampled.kept, **sampled.dropped}
    with plot(run_dir, "outcomes", "What became of the conversations") as axes:
        axes.barh(list(outcomes), list(outcomes.values()))
        axes.set_xlabel("conversations")
    if len(judgements) > 1:
        _judges(run_dir, judgements)
    if agreed:
        _agreement(run_dir, agreed)


def _scores(run_dir: Path, pairs: Sequence[Pair]) -> None:
    with plot(run_dir, "scores", "Scores of the pairs") as axes:
        for side in ("chosen", "rejected"):
            scores = [score for pair in pairs if (score := getattr(pair, f"{side}_score")) is not None]
            axes.hist(scores, bins=BINS, range=(0, 1), alpha=0.6, label=side)
        axes.set_xlabel("score")
        axes.set_ylabel("pairs")
        axes.legend(frameon=False)


def _lengths(run_dir: Path, pairs: Sequence[Pair]) -> None:
    differences = [len(words(pair.chosen)) - len(words(pair.rejected)) for pair in pairs]
    longer = sum(difference > 0 for difference in differences) / len(differences)
    with plot(run_dir, "length_difference", f"Length: chosen is the longer one in {longer:.0%} of the pairs") as axes:
        axes.hist(differences, bins=2 * BINS)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_xlabel("words of chosen less words of rejected")
        axes.set_ylabel("pairs")


def _judges(run_dir: Path, judgements: Sequence[Judgement]) -> None:
    with plot(run_dir, "judges", "Scores of all candidates by judge") as axes:
        for each in judgements:
            scores = [score for row in each.scores for score in row if score is not None]
            axes.hist(scores, bins=BINS, range=(0, 1), histtype="step", linewidth=1.6, label=each.judge)
        axes.set_xlabel("score")
        axes.set_ylabel("candidates")
        axes.legend(frameon=False)


def _agreement(run_dir: Path, agreed: Sequence[Agreement]) -> None:
    names = [" and ".join(each.judges) for each in agreed]
    low = [each.agreed - each.interval[0] for each in agreed]
    high = [each.interval[1] - each.agreed for each in agreed]
    with plot(run_dir, "agreement", "Same verdict on two answers (95 % interval)") as axes:
        axes.barh(names, [each.agreed for each in agreed], xerr=[low, high], capsize=3)
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of comparisons")
