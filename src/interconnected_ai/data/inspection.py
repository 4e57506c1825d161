"""What is odd about labelled rows and no error: one place for every verb that reads some, so that all say the same."""

from collections import defaultdict

from interconnected_ai.arguments import checked
from interconnected_ai.data.labels import label_remarks
from interconnected_ai.data.remarks import Remark
from interconnected_ai.data.rows import Rows, Splits
from interconnected_ai.text import folded


@checked
def remarks_on(rows: Rows | Splits) -> tuple[Remark, ...]:
    """Everything odd about the rows, each remark once: how they were read, unlabelled rows, labels that disagree or look alike.

    Of splits, labels are looked at in all parts together, since what they disagree with may stand in another part; rows
    without a label are those that nothing is learnt from.
    """
    if isinstance(rows, Splits):
        together = Rows.joined([rows.train, rows.validation, rows.test])
        bare = unlabelled_remarks(rows.train, "training rows")
    else:
        together, bare = rows, unlabelled_remarks(rows)
    labels = {branch: together.of(branch)[1] for branch in together.branch_names}
    return tuple(dict.fromkeys([*together.remarks, *bare, *conflict_remarks(together), *label_remarks(labels)]))


@checked
def unlabelled_remarks(rows: Rows, kind: str = "rows") -> list[Remark]:
    """One remark where rows (of this kind, in words) have no label of any branch; none of texts without branches."""
    bare = sum(home is None for home in rows.home()) if rows.branch_names else 0
    if not bare:
        return []
    told = f"{bare} of {len(rows)} {kind} have no label of any branch: nothing is learnt from them, nothing measured on them"
    return [Remark("labels there", told, "Label them, or take them out; is the label's column the right one?")]


@checked
def conflict_remarks(rows: Rows) -> list[Remark]:
    """One remark where the same text (case and spacing aside) has several labels of a branch."""
    told = []
    for branch in rows.branch_names:
        given: dict[str, set[str]] = defaultdict(set)
        for text, label in zip(*rows.of(branch), strict=True):
            given[folded(text)].add(label)
        if torn := [text for text, labels in given.items() if len(labels) > 1]:
            first = torn[0] if len(torn[0]) <= 40 else f"{torn[0][:40]}…"
            labels = " and ".join(sorted(given[torn[0]])[:3])
            told.append(f"{branch}: {len(torn)} texts, the first {first!r} is {labels}")
    if not told:
        return []
    return [Remark("labels agree", "; ".join(told), "The same text has several labels: decide on one for each")]
