"""`iai report RUN`."""

from pathlib import Path

import click

from interconnected_ai.cli.completion import RunPath
from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.outputs import OutputPath, overwrite_option


@click.command("report")
@click.argument("run", type=RunPath())
@click.option(
    "--output", "page", type=OutputPath(may_lie_inside=(".html", ".htm")), metavar="PAGE.html",
    help="Default: report.html in RUN, which is written anew each time.",
)  # fmt: skip
@click.option(
    "--png", "picture", type=OutputPath(may_lie_inside=(".png",)), metavar="PAGE.png", help="The same as a picture."
)
@overwrite_option
@click.option("--usd-per-hour", type=float, help="What an hour of the machine costs, for the cost of the run.")
@click.option(
    "--language", type=click.Choice(["en", "ru"]), default="en", show_default=True, help="Language of the page."
)
@click.option("--no-texts", is_flag=True, help="Leave out the texts of the data, for a page that others may see.")
@with_output
def command(
    run: Path,
    page: Path | None,
    picture: Path | None,
    usd_per_hour: float | None,
    language: str,
    no_texts: bool,
    output: Output,
) -> None:
    """One page of RUN: what the doctor finds, test results beside the baseline, the worst answers, classes, confusion,
    refusals, calibration, curves, use of the experts, cost. RUN may be a language model's adapter (iai expert adapt), too:
    what it learnt from, its figures, curves.

    The page is one HTML file that needs nothing else; it holds test texts that were answered wrongly. A run that is not
    finished gets a page of what there is so far.
    """
    from interconnected_ai.report import RunReport, missing_sentences, write_report
    from interconnected_ai.training import adapter_run_folder

    page = page or (adapter_run_folder(run) or run) / "report.html"
    report = write_report(run, page, picture=picture, language=language, usd_per_hour=usd_per_hour, texts=not no_texts)
    missing = missing_sentences(report)
    if isinstance(report, RunReport) and report.answers:
        output.table(
            "Test rows",
            ["branch", "rows", "accuracy %", "macro-F1 %", "ECE before %", "ECE after %"],
            [
                (
                    found.name,
                    found.metrics.num_rows,
                    percent(found.metrics.accuracy),
                    percent(found.metrics.macro_f1),
                    percent(found.before.calibration_error),
                    percent(found.after.calibration_error),
                )
                for found in report.answers
            ],
        )
    if report.diagnosis is not None:
        output.say(*(f"{found.name}: {found.evidence}" for found in report.diagnosis.illnesses))
    output.say(*missing, *(f"Wrote {path}" for path in (page, picture) if path is not None))
    output.result(
        {
            **report.to_dict(),
            "missing": missing,
            "page": str(page),
            "picture": None if picture is None else str(picture),
        }
    )
