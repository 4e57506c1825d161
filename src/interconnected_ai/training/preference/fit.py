"""Training an adapter on preferences that are at hand. The loop is `Trainer`'s, what is learnt by it `PreferenceLearner`'s."""

from pathlib import Path

import torch

from interconnected_ai.arguments import checked
from interconnected_ai.config import AdapterTrainingConfig
from interconnected_ai.training.adapter.fit import LESS_MEMORY, AdapterFit
from interconnected_ai.training.adapter.network import AdaptedNetwork
from interconnected_ai.training.chats import PreferenceCorpus
from interconnected_ai.training.computing import keep_computing
from interconnected_ai.training.failures import noting_errors
from interconnected_ai.training.preference.learner import PreferenceLearner
from interconnected_ai.training.processes import Processes
from interconnected_ai.training.run_folder import owned
from interconnected_ai.training.trainer import Trainer


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
    with owned(Path(folder), is_main=processes.is_main):
        keep_computing(processes, Path(folder))
        random = torch.random.get_rng_state()
        try:
            learner = PreferenceLearner(model, corpus.train, corpus.validation, config, beta, processes)
            trainer = Trainer(
                processes, learner.objective, learner.schedule, config, Path(folder), rates="lr", silent=silent
            )
            with noting_errors(Path(folder), lambda: trainer.step, advice=LESS_MEMORY):
                course = trainer.run(learner, resume=resume)
                trainer.finish()
                model.eval()
                held = learner.measured()
        finally:
            model.remember_less(False)
            torch.random.set_rng_state(random)
    return AdapterFit(
        steps=course.steps,
        epochs=course.steps / learner.schedule.steps_per_epoch,
        best_step=course.best_step,
        stopped_early=course.stopped_early,
        train_seconds=course.seconds,
        train_tokens=learner.num_tokens,
        filled=learner.plan.filled(corpus.train),
        device=str(processes.device),
        precision=processes.precision,
        validation=held,
    )
