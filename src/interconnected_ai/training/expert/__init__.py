"""Training experts: the learner, perplexity, and whole runs from text files to an expert's folder."""

from interconnected_ai.training.expert.evaluate import evaluate_expert
from interconnected_ai.training.expert.fit import ExpertFit, fit_expert
from interconnected_ai.training.expert.objective import Objective, adamw
from interconnected_ai.training.expert.perplexity import held_out
from interconnected_ai.training.expert.run import ExpertRun, refuse_taken_folders, train_expert, training_folder
from interconnected_ai.training.expert.samples import sample_text
from interconnected_ai.training.expert.start import shape_of_init

__all__ = [
    "ExpertFit",
    "ExpertRun",
    "Objective",
    "adamw",
    "evaluate_expert",
    "fit_expert",
    "held_out",
    "refuse_taken_folders",
    "sample_text",
    "shape_of_init",
    "train_expert",
    "training_folder",
]
