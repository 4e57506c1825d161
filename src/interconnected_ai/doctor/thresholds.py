"""Where "too much" begins: every number that the doctor compares with, and why it is that number."""

from dataclasses import dataclass
from math import pi, sqrt


@dataclass(frozen=True)
class Threshold:
    """A number, what it bounds, and the reason for it."""

    value: float
    bounds: str
    reason: str


# Before a run

CLIP = Threshold(
    10.0,
    "gradient_clip above it is as good as none",
    "the gradient norms of healthy runs were 0.001 to 15; the document's clip is 1",
)
BALANCE_WEIGHT = Threshold(
    0.1,
    "balance_loss_weight above it drowns the task",
    "Switch Transformer tried 1e-5 to 1e-1: 0.01 balanced quickly without disturbing the loss",
)
TRUNK_RATE = Threshold(
    0.01, "lr_moe above it", "100 × the document's; AdamW moves every weight by about the rate at each step"
)
BRANCH_RATE = Threshold(
    0.1,
    "lr_head, lr_adapter, lr_wide or lr_encoder_lora above it",
    "100 × the document's rate of the heads, its largest",
)
CLASS_ROWS = Threshold(
    8, "training rows of a class below it", "8 a class is where few-shot studies begin (SetFit, 2022)"
)
IMBALANCE = Threshold(
    10, "rows of the largest class over the smallest's above it", "unweighted, the rare class's loss is under a tenth"
)
CUT_TEXTS = Threshold(
    0.05, "share of texts longer than max_seq_len above it", "more than one text in twenty loses its end"
)
MEMORY = Threshold(
    0.8, "predicted peak over free memory above it", "the prediction is off by up to a tenth, other programs grow"
)
SLOW_PRECISION = Threshold(
    0.9, "speed of bfloat16 over float32 below it", "a tenth slower is more than the measurement's noise"
)
FAST_PRECISION = Threshold(2.0, "speed of bfloat16 over float32 above it, unused", "the run would take half the time")

# After or during a run

LINES = Threshold(8, "lines of step figures below it: trends are not judged", "a line is written every tenth step")
NOT_FALLING = Threshold(
    0.05,
    "fall of the loss below what guessing costs, by the last quarter, under it",
    "batches of 16 rows differ by more",
)
HIGH_BALANCE = Threshold(
    0.25,
    "balance loss above even use (1.0), as a share of the way to all tokens on top_k experts",
    "healthy runs were under 0.05",
)
EXPERT_USE = Threshold(
    0.2, "an expert's share of the tokens over the fair share 1/num_experts, below it", "the document's 20 %"
)
COLLAPSE = Threshold(
    0.8,
    "tokens of the top_k most used experts above their fair share, as a share of the way to all tokens",
    "the layer is then a dense one of top_k experts' size with the memory of num_experts",
)
JUMP_FACTOR = Threshold(
    2.0, "highest loss since the last line over the loss before, above it", "a step back, not noise"
)
JUMP_HEIGHT = Threshold(
    0.5, "and the rise over what guessing costs, above it", "half of all there is to learn is lost again"
)
JUMP_ROW = Threshold(
    8.0, "and the rise times the rows of the batch, beyond that", "one row, wrong with certainty e⁻⁸, is noise"
)
JUMPS = Threshold(3, "so many jumps", "one bad batch can make one, and a jump may be seen twice")
DIVERGED = Threshold(
    1.5, "last quarter's loss over what guessing costs, above it", "only being wrong and certain costs more"
)
FAR_DRIFT = Threshold(
    3.0, "distance of the trunk's weights from their start over the start's norm, above it",
    "the start is a tenth of what the weights then are, in squares; healthy runs ended at 0.02 to 0.3",
)  # fmt: skip
HARMFUL_DRIFT = Threshold(
    0.5,
    "the same, where accuracy fell meanwhile",
    "less hardly changes an answer for the worse",
)
FALL = Threshold(
    0.05, "fall of the mean validation accuracy since an earlier epoch, above it", "five rows in a hundred"
)
HARDLY_LEARNT = Threshold(0.9, "last quarter's loss over what guessing costs, above it", "next to nothing was learnt")
HEAD_STILL = Threshold(
    0.5, "distance of the heads' weights from their start over the start's norm, below it",
    "they start small (std 0.02) and learn by growing; healthy runs ended at 5 to 16",
)  # fmt: skip
STRAIGHT = Threshold(
    0.25, "distance of the heads' weights over the sum of their rates, above it",
    "pulled one way by noisy batches they reached 0.3; where there was nothing more to learn they ended at 0.01 to 0.2",
)  # fmt: skip
VALIDATION_FALL = Threshold(
    0.005, "and the fall of the validation losses since half of the epochs, above it",
    "rows learnt by heart make the training loss fall slowly as well, but not this one",
)  # fmt: skip
HALF_LEARNT = Threshold(
    0.5, "and the last quarter's loss over what guessing costs, above it", "most is still to be learnt"
)
ACCURACY = Threshold(0.85, "a branch's accuracy below it", "the document's 85 %")
GAP = Threshold(0.1, "training accuracy minus validation accuracy above it", "and more than twice its standard error")
RISE = Threshold(
    1.1, "last validation loss over its lowest, above it", "a tenth above the lowest, beyond the epochs' noise"
)
STARVED = Threshold(
    0.25, "a branch's rows in a batch over the fair share batch_size/num_branches, below it",
    "it is an illness where the branch also lags, or has under STARVED_ROWS rows",
)  # fmt: skip
STARVED_ROWS = Threshold(2.0, "a branch's rows in a batch, below it", "one row's gradient points anywhere")
LAG = Threshold(0.05, "accuracy of the other branches minus the starved one's, above it", "five rows in a hundred")
CALIBRATION_ROWS = Threshold(
    20,
    "validation rows of a branch, below it",
    "temperature and threshold of fewer rows stay near what they are without any",
)
CALIBRATION = Threshold(
    0.05,
    "calibration error after temperature fitting, above what so few rows leave open",
    "well-fitted classifiers reach 0.01–0.03",
)

OTHER_ALPHABET = Threshold(
    0.05,
    "share of training rows in other letters than Latin, under an encoder of English, above it",
    "the twentieth at which a run without a named encoder takes the multilingual one",
)
BELOW_BASELINE = Threshold(
    1.0,
    "test rows that counted words have right and the branch has not, over the root of all that either has wrong, above it",
    "the standard error of that difference is at most this root (McNemar)",
)
BELOW_BASELINE_ROWS = Threshold(3, "and these rows, above it", "three rows are chance")
NEVER_ANSWERED = Threshold(
    5, "test rows of a class that is never answered, from it on", "of five a branch of 85 % misses all once in 13,000"
)
DOUBTFUL = Threshold(
    0.03,
    "share of test rows answered otherwise than labelled with a confidence of 90 % or more, above it",
    "honest confidence of 90 % and more is wrong on under 2 % of all rows",
)
DOUBTFUL_ROWS = Threshold(5, "and these rows, from it on", "fewer may be chance")
FOREIGN_CONFIDENCE = Threshold(0.95, "confidence that counts as sure, from it on", "one answer in twenty is wrong")
FOREIGN = Threshold(
    0.5,
    "share of texts that are nobody's business, answered and sure, above it",
    "single ones may be like the branch's",
)


def calibration_noise(accuracy: float, num_rows: int, num_bins: int = 15) -> float:
    """The calibration error that perfectly honest confidence shows on so few rows: at most √(2 a (1 − a) B / (π n)).

    Each of B bins has an accuracy that is off by √(2 p (1 − p) / (π n_b)) on average; the sum is largest for equal bins
    (Cauchy–Schwarz). a: accuracy over all rows, by the rule of succession: that all of 30 were right does not make it 1.
    """
    rows = max(1, num_rows)
    a = min(1.0, max(0.0, (accuracy * rows + 1) / (rows + 2)))
    return sqrt(2 * a * (1 - a) * min(num_bins, rows) / (pi * rows))


def is_starved(rows: float, batch_rows: float, num_branches: int) -> bool:
    """Whether a branch has far fewer rows in a batch than its fair share."""
    return num_branches > 1 and rows < STARVED.value * batch_rows / num_branches


# Of adapters of language models

NATS_FALL = Threshold(
    0.02,
    "fall of the training loss from the first quarter of the steps to the last, under it",
    "batches differ by as much",
)
NATS_RISE = Threshold(
    1.02, "last validation loss over its lowest, above it", "the held-out examples are the same ones each time"
)
NATS_GROWTH = Threshold(1.2, "last quarter's training loss over the first's, above it", "only a wrong way costs more")
CUT_CHATS = Threshold(
    0.05, "share of conversations longer than a block, above it", "more than one conversation in twenty loses turns"
)
COUNTED = Threshold(
    0.02, "share of the tokens that are learnt, below it", "the rest of the work is reading, which teaches nothing"
)
LEAK = Threshold(
    0.1, "share of held-out examples whose answers are learnt as well, above it", "short formulas may be said twice"
)
LEAK_TOKENS = Threshold(16, "tokens of an answer that count for it, from it on", "shorter ones are said by anybody")
LESS_LIKELY = Threshold(
    -1.0,
    "mean reward of the better answers, below it",
    "they have become e^(1/beta) times less likely than the base has them, though they are the better ones",
)
