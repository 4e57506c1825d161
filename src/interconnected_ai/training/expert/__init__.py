"""Training experts: token windows, the learner, perplexity, and whole runs from text files to an expert's folder."""

from interconnected_ai.training.expert.evaluate import evaluate_expert
from interconnected_ai.training.expert.fit import ExpertFit, fit_expert
from interconnected_ai.training.expert.perplexity import HeldOut, Perplexity, measure
from interconnected_ai.training.expert.run import ExpertRun, held_out_texts, train_expert, training_folder
from interconnected_ai.training.expert.samples import sample_text
from interconnected_ai.training.expert.texts import TextSplits, read_texts, split_texts, write_stream
from interconnected_ai.training.expert.windows import Windows

__all__ = [
    "ExpertFit",
    "ExpertRun",
    "HeldOut",
    "Perplexity",
    "TextSplits",
    "Windows",
    "evaluate_expert",
    "fit_expert",
    "held_out_texts",
    "measure",
    "read_texts",
    "sample_text",
    "split_texts",
    "train_expert",
    "training_folder",
    "write_stream",
]
