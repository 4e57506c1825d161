"""Training an adapter on preferences that are at hand. The loop is `Trainer`'s, what is learnt by it `PreferenceLearner`'s."""

from pathlib import Path

from interconnected_ai.arguments import checked
from interconnected_ai.config import AdapterTrainingConfig
from interconnected_ai.training.adapter.fit import AdapterFit, fit_learner
from interconnected_ai.training.adapter.network import AdaptedNetwork
from interconnected_ai.training.chats import PreferenceCorpus
from interconnected_ai.training.preference.learner import PreferenceLearner
from interconnected_ai.training.processes import Processes


@checked
def fit_preferences(
    model: AdaptedNetwork,
    corpus: PreferenceCorpus,
    config: AdapterTrainingConfig,
    beta: float,
    folder: str | Path,
    processes: Processes,
    *,
    resume: bool = False,
    silent: bool = False,
) -> AdapterFit:
    """Train a model's adapter on pairs; afterwards it holds the weights of the lowest validation loss.

    The reference is the base without its adapter. config.batch_size: pairs in one optimiser step. Otherwise as `fit_adapter`.
    """

    def learner() -> PreferenceLearner:
        return PreferenceLearner(model, corpus.train, corpus.validation, config, beta, processes)

    return fit_learner(learner, model, config, Path(folder), processes, resume=resume, silent=silent)
