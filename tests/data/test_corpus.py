"""From text to token blocks: every source read whole, nothing learnt that is measured on, the same for everybody."""

import csv
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from awkward_texts import TEXTS
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.config import CorpusConfig
from interconnected_ai.data import Corpus, CorpusPlan, Document, Texts, TokenSide, survey
from interconnected_ai.data.corpus import store
from interconnected_ai.data.corpus.sources import PIECE_CHARACTERS
from interconnected_ai.data.corpus.survey import deal_out
from interconnected_ai.errors import ConfigError, DataError, StorageError
from interconnected_ai.text import Tokenizer, digest_of
from properties import examples


def sentence(number: int) -> str:
    words = "bank card money loan rain snow wind cloud cat dog horse bird дом река зима лето".split()
    return " ".join(words[(number * prime) % len(words)] for prime in (1, 3, 5, 7, 11)) + f" {number}"


SENTENCES = [sentence(number) for number in range(400)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(SENTENCES, 300)


def write_jsonl(path: Path, texts: list[str], column: str = "text") -> Path:
    path.write_text("".join(json.dumps({column: text}, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")
    return path


def write_csv(path: Path, texts: list[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerows([["text", "label"], *([text, "x"] for text in texts)])
    return path


def write_parquet(path: Path, texts: list[str]) -> Path:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"text": texts, "label": ["x"] * len(texts)}), path)
    return path


def write_dataset(path: Path, texts: list[str]) -> Path:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"text": texts}).save_to_disk(str(path))
    return path


def write_folder(path: Path, texts: list[str]) -> Path:
    path.mkdir()
    for number, text in enumerate(texts):
        (path / f"{number:02}.txt").write_bytes(text.encode())
    return path


WRITERS: dict[str, Callable[[Path, list[str]], Path]] = {
    "rows.jsonl": write_jsonl,
    "rows.csv": write_csv,
    "rows.tsv": write_csv,
    "rows.parquet": write_parquet,
    "saved": write_dataset,
    "folder": write_folder,
}


def texts_of(*paths: Path | str, **changes: object) -> Texts:
    return Texts.of_config(CorpusConfig.from_mapping({"paths": [str(path) for path in paths], **changes}))


def read(texts: Texts) -> list[str]:
    return [document.text for _, document in texts.documents()]


def decoded(side: TokenSide, tokenizer: Tokenizer) -> list[str]:
    """The side's documents, from its tokens alone."""
    starts, ends = side.offsets, [*(side.offsets[1:] - 1), len(side.tokens) - 1]
    return [tokenizer.decode(side.tokens[a:b].tolist()) for a, b in zip(starts, ends, strict=True)]


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_source_gives_the_texts_that_were_written(tmp_path: Path, name: str) -> None:
    assert read(texts_of(WRITERS[name](tmp_path / name, TEXTS))) == TEXTS


def test_a_dataset_of_the_hub_is_asked_for_by_name_configuration_and_split(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    asked: list[object] = []

    def load(*name: object, split: str) -> object:
        asked.extend([*name, split])
        return datasets.Dataset.from_dict({"text": TEXTS})

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert read(texts_of("hf:someone/stories:tiny#test")) == TEXTS
    assert asked == ["someone/stories", "tiny", "test"]


def test_docs_reads_the_docstrings_of_an_installed_library() -> None:
    documents = [document for _, document in texts_of("docs:numpy").documents()]
    assert "numpy.linspace" in {document.source for document in documents}


def test_a_folder_is_read_in_the_order_of_its_paths_without_hidden_and_unknown_files(tmp_path: Path) -> None:
    for name in ("b/2.md", "b/1.txt", "a.py", "c.jsonl", ".git/x.txt", "b/.hidden.txt", "picture.png", "z.png", "odd"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"text": name}) if name == "c.jsonl" else name)
    texts = texts_of(tmp_path)
    assert read(texts) == ["a.py", "b/1.txt", "b/2.md", "c.jsonl"]
    assert survey(texts_of(tmp_path, validation_fraction=0.0, test_fraction=0.0)).report.total.left_out == {
        "ending .png": 2,
        "no ending": 1,
    }


@examples(40)
@given(lines=st.lists(st.text(st.sampled_from("ab ё🙂\r\n\t"), max_size=40), max_size=8), size=st.integers(1, 9))
def test_pieces_of_a_file_put_together_are_the_file_however_its_bytes_arrive(
    lines: list[str], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("text") / "book.txt"
    whole = "\n".join(lines)
    path.write_bytes(whole.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("interconnected_ai.data.corpus.sources._BLOCK_BYTES", size)
        patch.setattr("interconnected_ai.data.corpus.sources.PIECE_CHARACTERS", 5)
        documents = [document for _, document in texts_of(path).documents()]
    assert "".join(document.text for document in documents) == whole.replace("\r\n", "\n")
    assert [document.continues for document in documents] == [number > 0 for number in range(len(documents))]


def test_a_long_file_is_cut_behind_paragraphs(tmp_path: Path) -> None:
    paragraph = " ".join(SENTENCES[:20])
    (tmp_path / "book.txt").write_text("\n\n".join([paragraph] * 60), encoding="utf-8")
    pieces = read(texts_of(tmp_path / "book.txt"))
    assert len(pieces) > 3
    assert all(piece.endswith("\n\n") for piece in pieces[:-1])
    assert all(abs(len(piece) - PIECE_CHARACTERS) <= len(paragraph) for piece in pieces[:-1])


def test_lines_and_paragraphs_can_be_documents_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "facts.txt").write_text("one\ntwo\n\n \nthree\nfour\n\n\n\nfive", encoding="utf-8")
    assert read(texts_of(tmp_path / "facts.txt", unit="line")) == ["one", "two", "three", "four", "five"]
    assert read(texts_of(tmp_path / "facts.txt", unit="paragraph")) == ["one\ntwo", "three\nfour", "five"]


def test_a_byte_order_mark_and_the_line_ends_of_windows_are_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r")
    (tmp_path / "b.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "three"}\r\n')
    assert read(texts_of(tmp_path)) == ["one\ntwo\r", "three"]


def test_half_a_character_that_json_spelt_becomes_a_replacement_character(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "half \\ud83d of it"}\n')
    assert read(texts_of(tmp_path / "a.jsonl")) == ["half \ufffd of it"]


@pytest.mark.parametrize("suffix", [".csv", ".CSV", ".tsv"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("declared", ["", "sep={}\r\n"])
def test_a_table_has_the_separator_that_its_header_shows_and_cells_of_any_length(
    tmp_path: Path, suffix: str, separator: str, declared: str
) -> None:
    rows = [("number", "text"), ("1", "long " * 40_000), ("2", "a, b; c")]
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=separator).writerows(rows)
    (tmp_path / f"a{suffix}").write_text(declared.format(separator) + file.getvalue(), encoding="utf-8", newline="")
    assert read(texts_of(tmp_path / f"a{suffix}")) == [text for _, text in rows[1:]]


# --- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv"])
def test_a_file_that_is_not_utf8_is_named_with_its_byte(tmp_path: Path, name: str, prefix: bytes) -> None:
    good = {"a.txt": b"word " * 20_000, "a.jsonl": b'{"text": "a"}\n' * 9_000, "a.csv": b"text\n" + b"a\n" * 70_000}[
        name
    ]
    (tmp_path / name).write_bytes(prefix + good + "привет".encode("cp1251"))
    place = len(prefix) + len(good)
    with pytest.raises(
        DataError, match=rf"{name} is not UTF-8: byte {place} is 0xef; .*iconv -f CP1251 -t UTF-8 {name}"
    ):
        read(texts_of(tmp_path / name))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.parquet", "saved"])
def test_a_missing_column_is_named_with_the_nearest_first(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path / name, TEXTS)
    with pytest.raises(DataError, match="has no column 'txt'; its columns, nearest first: 'text'"):
        read(texts_of(path, text="txt"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "a"}\n{"text": 7}\n', "line 2: the text is 7, a int; needs a string"),
        ("a.jsonl", '{"text": "a"}\n["b"]\n', 'line 2 holds a list; needs an object such as {"text": …}'),
        ("a.jsonl", '{"text": "a"}\n\n{"text":\n', "line 3 is not JSON: Expecting value, at character 9;"),
        ("a.jsonl", '{"text": "a"}\n{"text": ' + "9" * 5000 + "}\n", "line 2 is not JSON: Exceeds the limit"),
        ("a.csv", "", "is empty; needs a column 'text'"),
        ("a.csv", 'text\n"a\n', "cannot be read as csv"),
        ("a.parquet", "text", "cannot be read as Parquet"),
        ("a.png", "x", "unknown ending '.png'; read are tables"),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_why(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message.replace("{", r"\{").replace("(", r"\(")):
        read(texts_of(tmp_path / name))


def test_an_absent_path_and_a_folder_without_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file or folder at"):
        texts_of(tmp_path / "absent.txt")
    with pytest.raises(DataError, match=r"holds no file that can be read; known endings: \.txt"):
        texts_of(tmp_path)


def test_sources_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(" \n\n ")
    with pytest.raises(DataError, match="hold no text to learn from"):
        survey(texts_of(tmp_path / "a.txt"))


def test_one_document_cannot_be_held_out_and_learnt_from() -> None:
    with pytest.raises(DataError, match="1 texts are too few to hold out validation and test"):
        survey(Texts.of_documents(["one text"]))


def test_no_path_at_all_is_no_config() -> None:
    with pytest.raises(ConfigError, match="paths"):
        CorpusConfig.from_mapping({"paths": []})


# --- surveying ------------------------------------------------------------------------------------------------------


def test_copies_are_left_out_whatever_their_case_and_spacing_and_counted() -> None:
    report = survey(Texts.of_documents([*SENTENCES, SENTENCES[0].upper(), f"  {SENTENCES[1]}\n", "", "   "])).report
    assert report.total.num_documents == len(SENTENCES)
    assert report.total.num_duplicates == 2
    assert report.total.left_out == {"duplicate": 2, "empty text": 2}


def test_the_report_counts_what_is_there() -> None:
    report = survey(
        Texts.of_documents(["Не было ничего.", "the end of the story", "7"], test_fraction=0.0)
    ).report.total
    assert (report.num_documents, report.num_characters, report.num_words) == (3, 15 + 20 + 1, 3 + 5 + 1)
    assert report.num_bytes == 27 + 20 + 1
    assert report.languages == {"Russian": 27, "English": 20, "none": 1}
    assert list(report.language_shares()) == ["Russian", "English", "none"]
    assert (report.shortest, report.longest) == ((1, "text, text 3"), (20, "text, text 2"))
    assert report.tokens_per_word is None


def test_the_sides_hold_about_the_fractions_and_share_no_text() -> None:
    found = survey(Texts.of_documents(SENTENCES, validation_fraction=0.2, test_fraction=0.1))
    sides = {side: {document.text for s, _, document in found.documents() if s == side} for side in range(3)}
    assert sum(map(len, sides.values())) == len(set.union(*sides.values())) == len(SENTENCES)
    assert [round(len(sides[side]) / len(SENTENCES), 1) for side in range(3)] == [0.7, 0.2, 0.1]
    assert list(found.training_texts()) == [text for text in SENTENCES if text in sides[0]]


def test_the_sides_depend_on_content_and_seed_not_on_order() -> None:
    def held_out(texts: list[str], seed: int) -> set[str]:
        return {one.text for side, _, one in survey(Texts.of_documents(texts, seed=seed)).documents() if side}

    assert held_out(SENTENCES, 0) == held_out(SENTENCES[::-1], 0)
    assert held_out(SENTENCES, 0) != held_out(SENTENCES, 1)


def test_held_out_sources_of_their_own_are_never_learnt_from(tmp_path: Path) -> None:
    learnt = write_jsonl(tmp_path / "a.jsonl", SENTENCES[:50])
    validation, test = (
        write_jsonl(tmp_path / "b.jsonl", SENTENCES[40:60]),
        write_jsonl(tmp_path / "c.jsonl", SENTENCES[55:70]),
    )
    found = survey(texts_of(learnt, validation=[str(validation)], test=[str(test)]))
    sides = [[one.text for side, _, one in found.documents() if side == wanted] for wanted in range(3)]
    assert sides == [SENTENCES[:40], SENTENCES[40:55], SENTENCES[55:70]]
    assert found.report.total.num_duplicates == 5 + 10


def test_files_are_held_out_whole_when_there_are_many_and_in_pieces_when_there_are_few(tmp_path: Path) -> None:
    def sides_by_file(num_files: int) -> list[set[int]]:
        folder = tmp_path / str(num_files)
        folder.mkdir()
        for number in range(num_files):
            lines = (f"{number} {line} {sentence(number + line)}" for line in range(800))
            (folder / f"{number:02}.txt").write_text("\n".join(lines), encoding="utf-8")
        out: dict[str, set[int]] = {}
        for side, _, one in survey(texts_of(folder)).documents():
            out.setdefault(one.source.partition("#")[0], set()).add(side)
        return list(out.values())

    assert all(len(sides) == 1 for sides in sides_by_file(45))
    assert sides_by_file(1) == [{0, 1, 2}]


@examples(60)
@given(
    sizes=st.lists(st.integers(1, 1000), min_size=3, max_size=40),
    fractions=st.tuples(st.floats(0.01, 0.45), st.floats(0.01, 0.45)),
    seed=st.integers(0, 2**70),
)
def test_every_side_gets_something_and_held_out_ones_no_more_than_asked(
    sizes: list[int], fractions: tuple[float, float], seed: int
) -> None:
    digests = np.array([digest_of(str(number)) for number in range(len(sizes))], dtype=np.uint64)
    weights = np.array(sizes, dtype=np.float64)
    sides = deal_out(digests, weights, fractions, seed)
    assert set(sides.tolist()) == {0, 1, 2}
    for side, fraction in enumerate(fractions, start=1):
        held = weights[sides == side]
        assert held.sum() <= fraction * weights.sum() or len(held) == 1


# --- storing --------------------------------------------------------------------------------------------------------


def test_a_stored_corpus_decodes_to_the_texts_of_each_side(tmp_path: Path, tokenizer: Tokenizer) -> None:
    texts = Texts.of_documents([*TEXTS, *SENTENCES])
    found = survey(texts)
    corpus = Corpus.prepare(texts, tokenizer, tmp_path)
    for number, side in enumerate((corpus.train, corpus.validation, corpus.test)):
        expected = [document.text for s, _, document in found.documents() if s == number]
        assert decoded(side, tokenizer) == expected
        assert side.num_bytes == sum(len(text.encode()) for text in expected)
        assert side.tokens[0] == side.tokens[-1] == tokenizer.end_id
        assert np.count_nonzero(side.tokens == tokenizer.end_id) == len(expected) + 1
        assert isinstance(side.tokens, np.memmap)


def test_the_report_of_a_stored_corpus_has_its_tokens(tmp_path: Path, tokenizer: Tokenizer) -> None:
    corpus = Corpus.prepare(Texts.of_documents(SENTENCES), tokenizer, tmp_path)
    total = corpus.report.total
    assert total.num_tokens == sum(len(tokenizer.encode(text)) for text in SENTENCES)
    assert total.tokens_per_word == total.num_tokens / total.num_words
    assert [side.num_tokens for side in corpus.report.sides] == [
        len(side.tokens) for side in (corpus.train, corpus.validation, corpus.test)
    ]


def test_no_end_token_stands_between_the_pieces_of_a_file_on_one_side(tmp_path: Path, tokenizer: Tokenizer) -> None:
    documents = [Document("one ", "a"), Document("two ", "a#2", continues=True), Document("three", "b")]
    corpus = Corpus.prepare(Texts.of_documents(documents, validation_fraction=0, test_fraction=0), tokenizer, tmp_path)
    end = tokenizer.end_id
    assert corpus.train.tokens.tolist() == [
        end, *tokenizer.encode("one "), *tokenizer.encode("two "), end, *tokenizer.encode("three"), end,
    ]  # fmt: skip
    assert corpus.train.offsets.tolist()[0] == 1
    assert len(corpus.validation.tokens) == 0


def test_a_second_run_reuses_what_is_stored(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", SENTENCES)
    first = Corpus.prepare(texts_of(path), tokenizer, tmp_path / "out")
    monkeypatch.setattr(Tokenizer, "encode_batch", None)  # tokenising again would fail
    moved = path.rename(tmp_path / "moved.jsonl")
    second = Corpus.prepare(texts_of(moved), tokenizer, tmp_path / "out")
    assert second.folder == first.folder
    assert second.report == first.report
    assert np.array_equal(second.train.tokens, first.train.tokens)


@pytest.mark.parametrize("change", ["text", "tokenizer", "seed", "fraction", "unit"])
def test_anything_that_changes_the_tokens_is_another_corpus(tmp_path: Path, tokenizer: Tokenizer, change: str) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", SENTENCES)
    first = Corpus.prepare(texts_of(path), tokenizer, tmp_path / "out")
    if change == "text":
        write_jsonl(path, [*SENTENCES[:-1], "another end"])
    if change == "tokenizer":
        tokenizer = Tokenizer.train(SENTENCES, 290)
    settings_of = {"seed": {"split_seed": 1}, "fraction": {"validation_fraction": 0.2}, "unit": {"unit": "line"}}
    second = Corpus.prepare(texts_of(path, **settings_of.get(change, {})), tokenizer, tmp_path / "out")
    assert second.folder != first.folder


def test_a_damaged_corpus_is_built_anew(tmp_path: Path, tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture) -> None:
    texts = Texts.of_documents(SENTENCES)
    first = Corpus.prepare(texts, tokenizer, tmp_path)
    kept = first.train.tokens.tolist()
    (first.folder / "train.tokens").write_bytes(b"\0\0")
    assert Corpus.prepare(texts, tokenizer, tmp_path).train.tokens.tolist() == kept
    assert "damaged and is built anew" in caplog.text


@pytest.mark.parametrize(("vocab_size", "kind"), [(1 << 16, np.uint16), ((1 << 16) + 1, np.uint32)])
def test_tokens_take_two_bytes_where_the_vocabulary_fits_and_four_where_not(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, vocab_size: int, kind: type
) -> None:
    monkeypatch.setattr(Tokenizer, "vocab_size", vocab_size)
    assert Corpus.prepare(Texts.of_documents(SENTENCES), tokenizer, tmp_path).train.tokens.dtype == kind


def test_ids_beyond_the_vocabulary_are_refused_and_nothing_is_left(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tokenizer, "encode_batch", lambda self, texts: [[70_000]] * len(texts))
    with pytest.raises(DataError, match="token id 70000 does not fit into 2 bytes"):
        Corpus.prepare(Texts.of_documents(SENTENCES), tokenizer, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_source_that_changes_while_it_is_read_is_noticed(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", SENTENCES)
    texts = texts_of(path)
    found = survey(texts)
    write_jsonl(path, SENTENCES[:-1])
    with pytest.raises(DataError, match="sources changed while they were read"):
        Corpus.prepare(texts, tokenizer, tmp_path / "out", surveyed=found)
    assert not list((tmp_path / "out").iterdir())


FULL_DISK = """
import resource, sys
from interconnected_ai.text import Tokenizer
from interconnected_ai.data import Corpus, Texts
texts = [f"a sentence about {number} things" for number in range(3000)]
tokenizer = Tokenizer.train(texts, 300)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
Corpus.prepare(Texts.of_documents(texts), tokenizer, sys.argv[1])
"""


def test_a_full_disk_is_named_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "out")], check=False, capture_output=True, text=True
    )
    assert StorageError.__name__ in done.stderr
    assert "Free some space" in done.stderr
    assert not list((tmp_path / "out").iterdir())


def test_memory_does_not_grow_with_the_corpus(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_CHUNK_CHARACTERS", 20_000)
    monkeypatch.setattr(store, "_TOKENS_AT_ONCE", 5_000)
    peaks = []
    for number, size in enumerate((120_000, 1_600_000)):
        path = tmp_path / f"{number}.txt"
        path.write_text("".join(f"{sentence(line)}\n" for line in range(size // 40)), encoding="utf-8")
        tracemalloc.start()
        corpus = Corpus.prepare(texts_of(path), tokenizer, tmp_path / "out")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert corpus.train.num_bytes > size / 2
    assert peaks[1] < 1.5 * peaks[0] + 200_000


# --- packing --------------------------------------------------------------------------------------------------------


def ring_of(length: int) -> np.ndarray:
    """Tokens 1 … length − 1 with the end token 0 before and after."""
    return np.array([*range(length), 0], dtype=np.uint16)


def test_an_epoch_shows_every_token_once_where_blocks_and_batches_come_out_even() -> None:
    plan = CorpusPlan(num_tokens=121, seq_len=10, batch_size=4, seed=0)
    assert plan.steps_per_epoch == 3
    for epoch in range(3):
        batches = [plan.read(ring_of(120), places) for places in plan.epoch(epoch)]
        assert all(batch.shape == (4, 11) and str(batch.dtype) == "torch.int64" for batch in batches)
        seen = [token for batch in batches for token in batch[:, 1:].flatten().tolist()]
        assert sorted(seen) == list(range(120))


@examples(60)
@given(length=st.integers(12, 200), seq_len=st.integers(1, 10), epoch=st.integers(0, 5), seed=st.integers(0, 9))
def test_blocks_are_runs_of_the_ring_and_no_token_is_predicted_twice_in_an_epoch(
    length: int, seq_len: int, epoch: int, seed: int
) -> None:
    plan = CorpusPlan(num_tokens=length + 1, seq_len=seq_len, batch_size=1, seed=seed)
    rows = [plan.read(ring_of(length), places)[0].tolist() for places in plan.epoch(epoch)]
    for row in rows:
        assert all((b - a) % length == 1 for a, b in pairwise(row))
    predicted = [token for row in rows for token in row[1:]]
    assert len(set(predicted)) == len(predicted) == length // seq_len * seq_len


def test_batches_follow_from_seed_and_epoch_alone_so_that_a_run_goes_on_in_the_middle() -> None:
    def batches(plan: CorpusPlan, epoch: int, start: int = 0) -> Iterator[list[int]]:
        return (places.tolist() for places in plan.epoch(epoch, start))

    plan, again = CorpusPlan(1001, 16, 4, seed=3), CorpusPlan(1001, 16, 4, seed=3)
    assert list(batches(plan, 2)) == list(batches(again, 2))
    assert list(batches(plan, 2))[5:] == list(batches(again, 2, start=5))
    assert list(batches(plan, 2)) != list(batches(plan, 3))
    assert list(batches(plan, 2)) != list(batches(CorpusPlan(1001, 16, 4, seed=4), 2))


def test_another_epoch_cuts_the_text_at_other_places() -> None:
    plan = CorpusPlan(10_001, 64, 8, seed=0)
    cuts = {int(next(plan.epoch(epoch))[0]) % 64 for epoch in range(8)}
    assert len(cuts) > 4


@pytest.mark.parametrize("num_tokens", [0, 1, 2, 64])
def test_a_corpus_too_small_for_one_batch_says_how_many_tokens_it_needs(num_tokens: int) -> None:
    with pytest.raises(DataError, match=f"has {num_tokens} tokens, one batch of batch_size=4 .* seq_len=16 needs 65"):
        CorpusPlan(num_tokens, 16, 4, seed=0)
    assert CorpusPlan(65, 16, 4, seed=0).steps_per_epoch == 1
