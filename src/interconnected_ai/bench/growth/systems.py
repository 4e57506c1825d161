"""Systems of branches: answering, growing, measuring, keeping, and their training with its page and its doctor."""

from collections.abc import Callable
from pathlib import Path

from interconnected_ai.bench.growth.inputs import LABELS, encoder, rows, system, texts, training
from interconnected_ai.bench.growth.verb import Verb
from interconnected_ai.branches import InterconnectedAISystem, fit_branch
from interconnected_ai.config import RunConfig
from interconnected_ai.data import Rows, Splits
from interconnected_ai.doctor import checklist, diagnose
from interconnected_ai.report import write_report
from interconnected_ai.training import FeatureCache, calibrate, compare_systems, evaluate, fit, train_run

Call = Callable[[], object]


def _predict(num_branches: int, num_texts: int) -> Call:
    made, given = system(num_branches), texts(num_texts)
    return lambda: made.predict(given)


def _encode(num_texts: int) -> Call:
    made, given = system(1), texts(num_texts)
    return lambda: made.encode(given)


def _add(count: int) -> Call:
    """As many branches into a system as it has."""
    made, more = system(count), system(2 * count)
    new = [card.spec for card in more.cards.values()][count:]
    return lambda: [made.add_branch(spec) for spec in new]


def _remove(count: int) -> Call:
    made = system(count)

    def remove() -> None:
        for name in made.branch_names:
            made.remove_branch(name)

    return remove


def _fit_branch(num_rows: int, num_branches: int = 1) -> Call:
    made, given = system(num_branches), texts(num_rows)
    made.freeze_trunk()
    labels = [LABELS[row % len(LABELS)] for row in range(num_rows)]
    return lambda: fit_branch(made, "branch-0", given, labels, config=training(epochs=2))


def _of_rows(num_branches: int, per_branch: int, do: Callable[[InterconnectedAISystem, Rows], object]) -> Call:
    made, given = system(num_branches), rows(num_branches, per_branch)
    return lambda: do(made, given)


def _sealed(count: int) -> InterconnectedAISystem:
    made = system(count)
    for name in made.branch_names:
        made.seal_branch(name)
    return made


def _verify(count: int) -> Call:
    made = _sealed(count)
    return lambda: made.verify()


def _save(count: int, folder: Path) -> Call:
    made = _sealed(count)
    return lambda: made.save_pretrained(folder / "system")


def _load(count: int, folder: Path) -> Call:
    _save(count, folder)()
    return lambda: InterconnectedAISystem.from_pretrained(folder / "system", encoder=encoder())


def _compare(count: int, per_branch: int) -> Call:
    one, other, given = system(count), system(count, d_ff=40), rows(count, per_branch)
    return lambda: compare_systems(one, other, given)


def _fit(num_branches: int, per_branch: int, folder: Path) -> Call:
    made = system(num_branches)
    learnt, held = rows(num_branches, per_branch), rows(num_branches, 9, seed=1)
    return lambda: fit(made, learnt, held, training(), folder)


def _build_cache(count: int, folder: Path) -> Call:
    made, given = system(1), texts(count)
    return lambda: FeatureCache(folder, made).build(given)


def _read_cache(count: int, folder: Path) -> Call:
    made, given = system(1), texts(count)
    cache = FeatureCache(folder, made)
    cache.build(given)
    return lambda: [cache.read(given[start : start + 64]) for start in range(0, count, 64)]


def _splits(num_branches: int, per_branch: int) -> Splits:
    return Splits(rows(num_branches, per_branch), rows(num_branches, 12, seed=1), rows(num_branches, 12, seed=2))


def _config(num_branches: int, folder: Path, epochs: int = 1) -> RunConfig:
    names = [f"branch-{number}" for number in range(num_branches)]
    return RunConfig.from_mapping(
        {
            "output": str(folder / "run"),
            "system": {"num_experts": 4, "max_seq_len": 32, "d_ff": 48},
            "data": {"branches": [{"name": name, "path": f"{name}.jsonl"} for name in names]},
            "training": training(epochs=epochs).to_dict(),
        }
    )


def _train(num_branches: int, per_branch: int, folder: Path) -> Call:
    config, splits = _config(num_branches, folder), _splits(num_branches, per_branch)
    return lambda: train_run(config, splits=splits, encoder=encoder())


def _ahead(num_branches: int, per_branch: int, folder: Path) -> Call:
    config, splits = _config(num_branches, folder), _splits(num_branches, per_branch)
    return lambda: checklist(config, splits=splits, encoder=encoder())


def _after(num_branches: int, epochs: int, folder: Path, do: Callable[[Path], object]) -> Call:
    """What reads a run's folder."""
    config = _config(num_branches, folder, epochs)
    train_run(config, splits=_splits(num_branches, 48), encoder=encoder())
    return lambda: do(Path(config.output))


def _page(run: Path) -> object:
    return write_report(run, run.with_name("page.html"))


VERBS = (
    Verb("branches", "predict", "texts", 400, lambda n, to: _predict(4, n)),
    Verb("branches", "predict", "branches", 80, lambda n, to: _predict(n, 64)),
    Verb("branches", "encode", "texts", 400, lambda n, to: _encode(n)),
    Verb("branches", "add branches", "branches", 100, lambda n, to: _add(n), once=True),
    Verb("branches", "remove branches", "branches", 300, lambda n, to: _remove(n), once=True),
    Verb("branches", "fit a branch", "rows", 300, lambda n, to: _fit_branch(n), once=True),
    Verb("branches", "fit a branch", "branches there already", 100, lambda n, to: _fit_branch(32, n), once=True),
    Verb("branches", "verify", "branches", 50, lambda n, to: _verify(n)),
    Verb("branches", "save", "branches", 100, _save),
    Verb("branches", "load", "branches", 100, _load),
    Verb("training", "evaluate", "rows", 300, lambda n, to: _of_rows(2, n, evaluate)),
    Verb("training", "evaluate", "branches", 20, lambda n, to: _of_rows(n, 24, evaluate)),
    Verb("training", "calibrate", "branches", 20, lambda n, to: _of_rows(n, 24, calibrate)),
    Verb("training", "compare", "branches", 10, lambda n, to: _compare(n, 24)),
    Verb("training", "compare", "rows", 300, lambda n, to: _compare(2, n)),
    Verb("training", "cache features", "texts", 500, _build_cache, once=True),
    Verb("training", "read cached features", "texts", 2000, _read_cache),
    Verb("training", "fit", "rows", 200, lambda n, to: _fit(2, n, to), once=True),
    Verb("training", "fit", "branches", 10, lambda n, to: _fit(n, 24, to), once=True),
    Verb("training", "train a run", "branches", 8, lambda n, to: _train(n, 24, to), once=True),
    Verb("doctor", "before a run", "branches", 15, lambda n, to: _ahead(n, 40, to)),
    Verb("doctor", "before a run", "rows", 400, lambda n, to: _ahead(2, n, to)),
    Verb("doctor", "after a run", "branches", 6, lambda n, to: _after(n, 2, to, diagnose)),
    Verb("doctor", "after a run", "epochs", 8, lambda n, to: _after(2, n, to, diagnose)),
    Verb("report", "write a page", "branches", 4, lambda n, to: _after(n, 2, to, _page)),
    Verb("report", "write a page", "epochs", 8, lambda n, to: _after(2, n, to, _page)),
)
