"""`iai train CONFIG`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.config import RunConfig


@click.command("train")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--resume", is_flag=True, help="Go on with an interrupted run from its last checkpoint.")
@click.option("--overwrite", is_flag=True, help="Drop what an earlier run left in the output folder.")
@with_output
def command(config: Path, resume: bool, overwrite: bool, output: Output) -> None:
    """Train the system that CONFIG (YAML or JSON) describes, and write it to the config's output folder.

    Paths in the config are relative to its folder, the output folder to the current one. `accelerate launch -m
    interconnected_ai.cli train CONFIG` runs it on several processes.
    """
    settings = RunConfig.from_file(config)
    from dataclasses import asdict

    from interconnected_ai.training import process_rank, train_run

    result = train_run(_absolute(settings, config.parent), resume=resume, overwrite=overwrite)
    if process_rank() != 0:
        return
    rows = [
        (name, m.num_rows, percent(m.accuracy), percent(m.macro_f1), percent(m.calibration_error))
        for name, m in result.test.items()
    ]
    if rows:
        output.table("Test rows", ["branch", "rows", "accuracy %", "macro-F1 %", "calibration error %"], rows)
    output.say(
        f"{result.fit.steps} steps in {result.fit.train_seconds:.1f} s on {result.fit.device} in {result.fit.precision}, "
        f"best epoch {result.fit.best_epoch}",
        f'Model: {result.folder / "model"}. Try: iai predict {result.folder} "a text"',
    )
    output.result(
        {
            "run": str(result.folder),
            "fit": asdict(result.fit),
            "test": {name: asdict(m) for name, m in result.test.items()},
        }
    )


def _absolute(settings: RunConfig, folder: Path) -> RunConfig:
    """The config with data paths that do not depend on where it is read from: it is kept in the run's folder."""
    content = settings.to_dict()
    sources = [content["data"]["table"]] if content["data"]["table"] else content["data"]["branches"]
    for source in sources:
        for key in ("path", "validation", "test"):
            path = source[key]
            if path is not None and not path.startswith("hf:"):
                source[key] = str((folder / path).resolve())
    return RunConfig.from_mapping(content)
