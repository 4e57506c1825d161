"""`iai bench routing`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, percent, with_output

_ROUTERS = ("rules", "tfidf_svm", "knn", "learned", "cascade")


@click.command("routing")
@click.option(
    "--data", "folder", required=True, type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Folder with clinc150/ and ru_intents/, or those that are asked for.",
)  # fmt: skip
@click.option(
    "--set", "sets", multiple=True, type=click.Choice(["clinc150", "ru_intents"]),
    help="Measure this set alone; repeat for several. Default: both.",
)  # fmt: skip
@click.option(
    "--rows", type=click.IntRange(min=50), metavar="N", help="So many rows of every side, for a trial. Default: all."
)
@click.option(
    "--validation", "on_validation", is_flag=True, help="Ask half of the validation rows; test rows stay unread."
)
@with_output
def command(folder: Path, sets: tuple[str, ...], rows: int | None, on_validation: bool, output: Output) -> None:
    """Routers on public sets, their domains as experts: rules, nearest examples, learned, beside TF-IDF and a linear SVM."""
    from interconnected_ai.bench import ROUTING_SETS, bench_routing, routing_goal_rows

    found = bench_routing(folder, sets=sets or ROUTING_SETS, rows=rows, on_validation=on_validation, say=output.step)
    output.table(
        f"{found['asked'].capitalize()} rows, % sent to the right expert",
        ["set", *_ROUTERS],
        [(each["set"], *(percent(each["figures"][f"accuracy_{name}"]) for name in _ROUTERS)) for each in found["sets"]],
    )
    output.table(
        "Milliseconds that 99 of 100 decisions take at most",
        ["set", "rules", "number of rules", "learned", "knn"],
        [
            (each["set"], *(f"{each['figures'][key]:.2f}" for key in ("rules_p99_ms",)), int(each["figures"]["num_rules"]),
             *(f"{each['figures'][key]:.2f}" for key in ("learned_p99_ms", "knn_p99_ms")))
            for each in found["sets"]
        ],
    )  # fmt: skip
    output.table(
        f"Goals, on {found['sets'][0]['set']}",
        ["what", "value", "goal"],
        [
            (row["what"], f"{row['value']:.4f}", f"{'≤' if row['at_most'] else '≥'} {row['goal']}")
            for row in routing_goal_rows(found)
        ],
    )
    for each in found["sets"]:
        figures = each["figures"]
        if "oos_auroc" in figures:
            output.say(
                f"{each['set']} out of scope, learned: AUROC {figures['oos_auroc']:.4f}, recall "
                f"{percent(figures['oos_recall_at_4_percent_false'])} % where 4 % of the in-scope ones are refused; nearest "
                f"examples: {percent(figures['knn_oos_recall'])} % at {percent(figures['knn_false_oos'])} %"
            )
        if "session_left_outside" in figures:
            output.say(
                f"{each['set']}, second turns of a session with an expert: {percent(figures['session_left_outside'])} % of the "
                f"out-of-scope ones leave it, {percent(figures['session_stayed_follow_up'])} % of the follow-ups and "
                f"{percent(figures['session_stayed_same'])} % of the requests of its own stay"
            )
        output.say(*(f"{each['set']}: left out {sentence}" for sentence in each["cut"]))
    output.say(f"{found['seconds'] / 60:.1f} minutes")
    output.result(found)
